//! Resource names and host names that a platform may use.
//!
//! The names of provisioned resources begin with the platform's id, and their host names contain the id as a label. The
//! id is public, so a caller could register the names of another platform before that platform does. A value of these
//! types exists only for the platform that the name belongs to.

use crate::{
    id::PlatformId,
    name::{HostName, ResourceName},
};

/// Resource name that its platform may register: it does not have the form of another platform's name.
///
/// Ten characters of `[a-z0-9]` and a `-` have the form of a platform id. The check ignores whether that platform
/// exists: it may be created later, and the error reveals nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformResourceName(ResourceName);

/// Host name of a DNS record: outside the base domain, or below `{platformId}.{base domain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHost(HostName);

/// Host name of the platform: below `{platformId}.{base domain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformHost(HostName);

/// Host name of a custom domain: outside the base domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomHost(HostName);

impl PlatformResourceName {
    /// Checks a name for a platform.
    ///
    /// # Errors
    /// A predicate, if the name begins with the form of another platform's id.
    pub fn new(name: ResourceName, platform: &PlatformId) -> Result<Self, String> {
        let first = name.as_str().split_once('-').map(|(first, _)| first);
        if first.is_some_and(|first| PlatformId::parse(first).is_ok_and(|id| id != *platform)) {
            // The message does not repeat the name, which may be a secret in the wrong place.
            return Err(format!(
                "must not begin with ten characters and a '-', which is the form of another platform's id: begin it \
                 with '{platform}-', or with a word of a different length"
            ));
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn into_inner(self) -> ResourceName {
        self.0
    }
}

impl RecordHost {
    /// Checks a host name for a DNS record of a platform.
    ///
    /// # Errors
    /// A predicate, if the host name lies at or below the base domain and does not belong to the platform.
    pub fn new(host: HostName, platform: &PlatformId, base: &HostName) -> Result<Self, String> {
        if host.is_at_or_below(base) {
            return PlatformHost::new(host, platform, base).map(|own| Self(own.0));
        }
        Ok(Self(host))
    }

    /// The host name.
    pub fn into_inner(self) -> HostName {
        self.0
    }
}

impl PlatformHost {
    /// Checks a host name for a platform.
    ///
    /// # Errors
    /// A predicate, if the host name does not lie below `{platformId}.{base domain}`.
    pub fn new(host: HostName, platform: &PlatformId, base: &HostName) -> Result<Self, String> {
        let own = format!(".{platform}.{base}");
        if host.as_str().ends_with(&own) {
            return Ok(Self(host));
        }
        Err(format!("must end in '{own}', like all host names of this platform"))
    }

    /// The host name.
    pub fn into_inner(self) -> HostName {
        self.0
    }
}

impl From<PlatformHost> for RecordHost {
    fn from(own: PlatformHost) -> Self {
        Self(own.0)
    }
}

impl CustomHost {
    /// Checks a host name for a custom domain.
    ///
    /// # Errors
    /// A predicate, if the host name lies at or below the base domain.
    pub fn new(host: HostName, base: &HostName) -> Result<Self, String> {
        if host.is_at_or_below(base) {
            return Err(format!("must not be '{base}' or end in '.{base}': use a host name of your own"));
        }
        Ok(Self(host))
    }

    /// The host name.
    pub fn into_inner(self) -> HostName {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::StackId,
        name::Slug,
        resource::{Environment, ResourceType, host_name, resource_name},
    };

    fn base() -> HostName {
        HostName::parse("nno.example").unwrap()
    }

    fn platform() -> impl Strategy<Value = PlatformId> {
        "[a-z0-9]{10}".prop_map(|text| PlatformId::parse(&text).unwrap())
    }

    fn stack() -> impl Strategy<Value = StackId> {
        "default|[a-z0-9]{10}".prop_map(|text| StackId::parse(&text).unwrap())
    }

    fn slug() -> impl Strategy<Value = Slug> {
        "[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?".prop_map(|text| Slug::parse(&text).unwrap())
    }

    fn kind() -> impl Strategy<Value = (ResourceType, Environment)> {
        (prop::sample::select(ResourceType::ALL), prop::sample::select(Environment::ALL))
    }

    #[test]
    fn names_without_a_platform_prefix_are_allowed() {
        let own = PlatformId::parse("abcdefghij").unwrap();
        let allowed =
            |text: &str| PlatformResourceName::new(ResourceName::parse(text).unwrap(), &own).is_ok();
        for good in [
            "cache",
            "a-b",
            "abcdefghij",
            "zzzzzzzzzz",
            "abcdefghij-x",
            "my-production-cache",
            "-x",
            "a-zzzzzzzzzz-x",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["zzzzzzzzzz-x", "production-cache", "0123456789-", "zzzzzzzzzz--"] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn hosts_of_the_base_domain_are_allowed_only_for_their_platform() {
        let own = PlatformId::parse("abcdefghij").unwrap();
        let record = |text: &str| RecordHost::new(HostName::parse(text).unwrap(), &own, &base()).is_ok();
        let custom = |text: &str| CustomHost::new(HostName::parse(text).unwrap(), &base()).is_ok();
        for foreign in [
            "nno.example",
            "NNO.example",
            "svc.nno.example",
            "abcdefghij.nno.example",
            "a.zzzzzzzzzz.nno.example",
            "a.xabcdefghij.nno.example",
        ] {
            assert!(!record(foreign) && !custom(foreign), "{foreign}");
        }
        for own in ["a.abcdefghij.nno.example", "A.svc.default.abcdefghij.NNO.example"] {
            assert!(record(own) && !custom(own), "{own}");
        }
        for outside in ["acme.com", "nno.example.com", "xnno.example", "abcdefghij.example"] {
            assert!(record(outside) && custom(outside), "{outside}");
        }
    }

    proptest! {
        #[test]
        fn generated_names_belong_only_to_their_platform(
            (own, other) in (platform(), platform()), stack in stack(), service in slug(), (kind, environment) in kind(),
        ) {
            prop_assume!(own != other);
            if let Ok(name) = resource_name(&own, &stack, &service, kind, environment) {
                prop_assert_eq!(ResourceName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(PlatformResourceName::new(name.clone(), &own).is_ok());
                prop_assert!(PlatformResourceName::new(name, &other).is_err());
            }
        }

        #[test]
        fn generated_hosts_belong_only_to_their_platform(
            (own, other) in (platform(), platform()), stack in stack(), service in slug(), (kind, environment) in kind(),
        ) {
            prop_assume!(own != other);
            let host = host_name(&service, kind, environment, &stack, &own, &base()).unwrap();
            prop_assert_eq!(HostName::parse(&host.as_str().to_uppercase()), Ok(host.clone()));
            prop_assert!(PlatformHost::new(host.clone(), &own, &base()).is_ok());
            prop_assert!(RecordHost::new(host.clone(), &own, &base()).is_ok());
            prop_assert!(RecordHost::new(host.clone(), &other, &base()).is_err());
            prop_assert!(PlatformHost::new(host.clone(), &other, &base()).is_err());
            prop_assert!(CustomHost::new(host, &base()).is_err());
        }

        #[test]
        fn allowed_names_are_never_generated_for_other_platforms(
            text in "[a-z0-9]{10}-[a-z0-9-]{0,20}|[a-z0-9-]{1,30}", (own, other) in (platform(), platform()),
        ) {
            prop_assume!(own != other);
            let name = ResourceName::parse(&text).unwrap();
            if PlatformResourceName::new(name, &own).is_ok() {
                let prefix = format!("{}-", other);
                prop_assert!(!text.starts_with(&prefix));
            }
        }
    }
}
