//! The names of targets: the types that the registry uses too, with the errors of a provider.

use std::fmt;

use domain::{HostName, ResourceName, SecretName};
use serde::{Deserialize, Serialize};

use super::ProviderError;

/// Reads the name of everything but a DNS record.
///
/// # Errors
///
/// Permanent, if the text is not one.
pub(crate) fn parse_resource_name(text: &str) -> Result<ResourceName, ProviderError> {
    ResourceName::parse(text).map_err(invalid("a resource name", text))
}

/// Reads a host name, lower-casing it.
///
/// # Errors
///
/// Permanent, if the text is not one.
pub(crate) fn parse_host_name(text: &str) -> Result<HostName, ProviderError> {
    HostName::parse(text).map_err(invalid("a host name", text))
}

/// Reads the name of a secret as a worker's code sees it.
///
/// # Errors
///
/// Permanent, if the text is not one.
pub(crate) fn parse_secret_name(text: &str) -> Result<SecretName, ProviderError> {
    SecretName::parse(text).map_err(invalid("the name of a secret", text))
}

fn invalid(what: &str, text: &str) -> impl Fn(String) -> ProviderError {
    move |why| ProviderError::permanent(format!("{text:?} is not {what}: it {why}"))
}

/// The target of a DNS record. A resource name has no dot and a host name has one, so a text is never both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DnsTarget {
    /// A worker or pages.
    Resource(ResourceName),
    /// A host name.
    Host(HostName),
}

impl DnsTarget {
    /// Reads a target.
    ///
    /// # Errors
    ///
    /// Permanent, if the text is neither a resource name nor a host name.
    pub fn parse(text: &str) -> Result<Self, ProviderError> {
        match ResourceName::parse(text) {
            Ok(name) => Ok(Self::Resource(name)),
            Err(_) => parse_host_name(text).map(Self::Host),
        }
    }

    /// The target as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Resource(name) => name.as_str(),
            Self::Host(name) => name.as_str(),
        }
    }
}

impl fmt::Display for DnsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
