//! Names of targets: the types of the registry, with provider errors.

use std::fmt;

use domain::{HostName, ResourceName, SecretName};
use serde::{Deserialize, Serialize};

use super::ProviderError;

/// Parses the name of a target that is not a DNS record.
///
/// # Errors
///
/// Permanent, if the text is invalid.
pub(crate) fn parse_resource_name(text: &str) -> Result<ResourceName, ProviderError> {
    ResourceName::parse(text).map_err(invalid("a resource name", text))
}

/// Parses a host name and converts it to lower case.
///
/// # Errors
///
/// Permanent, if the text is invalid.
pub(crate) fn parse_host_name(text: &str) -> Result<HostName, ProviderError> {
    HostName::parse(text).map_err(invalid("a host name", text))
}

/// Parses the name of a secret.
///
/// # Errors
///
/// Permanent, if the text is invalid.
pub(crate) fn parse_secret_name(text: &str) -> Result<SecretName, ProviderError> {
    SecretName::parse(text).map_err(invalid("the name of a secret", text))
}

fn invalid(what: &str, text: &str) -> impl Fn(String) -> ProviderError {
    move |reason| ProviderError::permanent(format!("{text:?} is not {what}: it {reason}"))
}

/// Target of a DNS record. A resource name has no dot and a host name has one, so the two are never ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DnsTarget {
    /// Name of a worker or pages site.
    Resource(ResourceName),
    /// A host name.
    Host(HostName),
}

impl DnsTarget {
    /// Parses a target.
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

    /// Returns the target as text.
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
