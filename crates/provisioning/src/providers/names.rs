//! The names of targets: checked once, when they are made, and safe to use in a path or a command afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ProviderError;

/// Declares a text type whose only way in is its `TryFrom<String>`.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = ProviderError;

            fn try_from(text: &str) -> Result<Self, ProviderError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

/// The name of everything but a DNS record: 1 to 63 of `[a-z0-9-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceName(String);
checked_text!(ResourceName);

impl TryFrom<String> for ResourceName {
    type Error = ProviderError;

    fn try_from(text: String) -> Result<Self, ProviderError> {
        match domain::ResourceName::parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(ProviderError::permanent(format!(
                "{text:?} is not a resource name: 1 to 63 characters of [a-z0-9-]"
            ))),
        }
    }
}

/// A host name after RFC 1123, lower-cased, without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);
checked_text!(Hostname);

impl TryFrom<String> for Hostname {
    type Error = ProviderError;

    fn try_from(text: String) -> Result<Self, ProviderError> {
        let name = text.strip_suffix('.').unwrap_or(&text).to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() <= 253 && name.split('.').all(label) {
            Ok(Self(name))
        } else {
            Err(ProviderError::permanent(format!("{text:?} is not a host name (RFC 1123)")))
        }
    }
}

/// The name of a secret as a worker's code sees it: 1 to 128 of `[A-Za-z0-9_]`, not starting with a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);
checked_text!(SecretName);

impl TryFrom<String> for SecretName {
    type Error = ProviderError;

    fn try_from(text: String) -> Result<Self, ProviderError> {
        match domain::SecretName::parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(ProviderError::permanent(format!(
                "{text:?} is not the name of a secret: 1 to 128 characters of [A-Za-z0-9_], the first not a digit"
            ))),
        }
    }
}
