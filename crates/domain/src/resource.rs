//! Resources: the workers and data stores of a platform, and the rules of their names and host names.

use crate::{
    id::{PlatformId, StackId},
    name::{HostName, ResourceName, Slug},
};

text_enum! {
    /// Type of a resource.
    pub enum ResourceType {
        Worker = "worker",
        Pages = "pages",
        D1 = "d1",
        R2 = "r2",
        Kv = "kv",
        Queue = "queue",
    }
}

impl ResourceType {
    /// Returns true if the resource runs code. The other types store data.
    pub const fn runs_code(self) -> bool {
        matches!(self, Self::Worker | Self::Pages)
    }
}

text_enum! {
    /// Status of a resource; `deleted` is final.
    pub enum ResourceStatus {
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
        Deleted = "deleted",
    }
}

text_enum! {
    /// Environment of a platform.
    pub enum Environment {
        Dev = "dev",
        Stg = "stg",
        Prod = "prod",
    }
}

text_enum! {
    /// Status of a DNS record.
    pub enum DnsStatus {
        Pending = "pending",
        Active = "active",
        Failed = "failed",
    }
}

text_enum! {
    /// Status of the verification of a custom domain.
    pub enum DomainStatus {
        Pending = "pending",
        Active = "active",
        Failed = "failed",
    }
}

text_enum! {
    /// Status of a secret. The value of a secret is never stored.
    pub enum SecretStatus {
        Missing = "missing",
        Set = "set",
        Rotated = "rotated",
        Error = "error",
    }
}

impl ResourceType {
    /// Suffix of a resource name for the type; empty for types that run code.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Worker | Self::Pages => "",
            Self::D1 => "-db",
            Self::R2 => "-storage",
            Self::Kv => "-kv",
            Self::Queue => "-queue",
        }
    }

    /// Label of a host name that distinguishes pages from services.
    const fn host_label(self) -> &'static str {
        match self {
            Self::Pages => "app",
            _ => "svc",
        }
    }
}

impl Environment {
    /// Suffix of a resource name for the environment; empty for production.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Prod => "",
            Self::Stg => "-stg",
            Self::Dev => "-dev",
        }
    }

    const fn host_label(self) -> &'static str {
        match self {
            Self::Prod => "",
            Self::Stg => "stg.",
            Self::Dev => "dev.",
        }
    }
}

/// Resource name `{platformId}-{stackId}-{service}[-db|-storage|-kv|-queue][-stg|-dev]`.
///
/// # Errors
/// A predicate, if the name would be longer than 63 characters. A name is never truncated.
pub fn resource_name(
    platform: &PlatformId,
    stack: &StackId,
    service: &Slug,
    kind: ResourceType,
    environment: Environment,
) -> Result<ResourceName, String> {
    ResourceName::parse(&format!("{platform}-{stack}-{service}{}{}", kind.suffix(), environment.suffix()))
}

/// Host name `<name>.<app|svc>.[stg.|dev.]<stack>.<platformId>.<base domain>`.
///
/// # Errors
/// A predicate, if the parts do not form a valid host name.
pub fn host_name(
    name: &Slug,
    kind: ResourceType,
    environment: Environment,
    stack: &StackId,
    platform: &PlatformId,
    base_domain: &HostName,
) -> Result<HostName, String> {
    HostName::parse(&format!(
        "{name}.{}.{}{stack}.{platform}.{base_domain}",
        kind.host_label(),
        environment.host_label()
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids() -> (PlatformId, StackId) {
        (PlatformId::parse("abcdefghij").unwrap(), StackId::default_stack())
    }

    #[test]
    fn resource_names_follow_the_rule() {
        let (platform, stack) = ids();
        let name = |kind, env| {
            resource_name(&platform, &stack, &Slug::parse("auth").unwrap(), kind, env).unwrap().to_string()
        };
        assert_eq!(name(ResourceType::Worker, Environment::Prod), "abcdefghij-default-auth");
        assert_eq!(name(ResourceType::D1, Environment::Prod), "abcdefghij-default-auth-db");
        assert_eq!(name(ResourceType::Queue, Environment::Stg), "abcdefghij-default-auth-queue-stg");
        assert_eq!(name(ResourceType::R2, Environment::Dev), "abcdefghij-default-auth-storage-dev");
    }

    #[test]
    fn host_names_follow_the_rule() {
        let (platform, stack) = ids();
        let base = HostName::parse("nno.example").unwrap();
        let host = |kind, env| {
            host_name(&Slug::parse("auth").unwrap(), kind, env, &stack, &platform, &base).unwrap().to_string()
        };
        assert_eq!(host(ResourceType::Worker, Environment::Prod), "auth.svc.default.abcdefghij.nno.example");
        assert_eq!(
            host(ResourceType::Pages, Environment::Stg),
            "auth.app.stg.default.abcdefghij.nno.example"
        );
    }

    proptest! {
        #[test]
        fn resource_names_are_never_truncated(service in "[a-z0-9-]{1,64}") {
            let (platform, stack) = ids();
            let whole = format!("{platform}-{stack}-{service}-storage-stg");
            let got = resource_name(&platform, &stack, &Slug::parse(&service).unwrap(), ResourceType::R2, Environment::Stg);
            match got {
                Ok(name) => prop_assert_eq!(name.to_string(), whole),
                Err(_) => prop_assert!(whole.len() > 63),
            }
        }
    }
}
