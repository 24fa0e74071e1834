//! Resources: the provisioned things a platform owns, and the rules of their names and hosts.

use crate::{
    id::{PlatformId, StackId},
    name::{HostName, ResourceName, Slug},
};

text_enum! {
    /// What kind of thing a resource is.
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
    /// Whether it runs code; the others keep data.
    pub const fn runs_code(self) -> bool {
        matches!(self, Self::Worker | Self::Pages)
    }
}

text_enum! {
    /// Where a resource is in its life; `deleted` is final.
    pub enum ResourceStatus {
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
        Deleted = "deleted",
    }
}

text_enum! {
    /// Which copy of a platform a thing belongs to.
    pub enum Environment {
        Dev = "dev",
        Stg = "stg",
        Prod = "prod",
    }
}

text_enum! {
    /// How a DNS record stands.
    pub enum DnsStatus {
        Pending = "pending",
        Active = "active",
        Failed = "failed",
    }
}

text_enum! {
    /// Whether a custom domain was seen to lead where it should.
    pub enum DomainStatus {
        Pending = "pending",
        Active = "active",
        Failed = "failed",
    }
}

text_enum! {
    /// What is known of a secret; its value is never kept here.
    pub enum SecretStatus {
        Missing = "missing",
        Set = "set",
        Rotated = "rotated",
        Error = "error",
    }
}

impl ResourceType {
    /// What the type adds to a resource name; code that runs adds nothing.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Worker | Self::Pages => "",
            Self::D1 => "-db",
            Self::R2 => "-storage",
            Self::Kv => "-kv",
            Self::Queue => "-queue",
        }
    }

    /// The label that tells hosts of pages from hosts of services.
    const fn host_label(self) -> &'static str {
        match self {
            Self::Pages => "app",
            _ => "svc",
        }
    }
}

impl Environment {
    /// What the environment adds to a resource name; production adds nothing.
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

/// `{platformId}-{stackId}-{service}[-db|-storage|-kv|-queue][-stg|-dev]`.
///
/// # Errors
/// A sentence, when the name would be longer than 63 characters: a name is never cut.
pub fn resource_name(
    platform: &PlatformId,
    stack: &StackId,
    service: &Slug,
    kind: ResourceType,
    environment: Environment,
) -> Result<ResourceName, String> {
    ResourceName::parse(&format!("{platform}-{stack}-{service}{}{}", kind.suffix(), environment.suffix()))
}

/// `<name>.<app|svc>.[stg.|dev.]<stack>.<platformId>.<base domain>`.
///
/// # Errors
/// A sentence, when the parts do not make a host name.
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
    fn names_by_the_rule() {
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
    fn hosts_by_the_rule() {
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
        fn never_cut(service in "[a-z0-9-]{1,64}") {
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
