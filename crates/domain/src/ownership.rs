//! Names and host names by the platform that may use them.
//!
//! The names of what provisioning makes begin with the platform's id, and its host names have the id as a label. The
//! id is public, so a caller could take the names of another platform before it does. These types can only be built
//! for the platform that a name belongs to.

use crate::{
    id::PlatformId,
    name::{HostName, ResourceName},
};

/// The name of a resource that its platform may register: it does not have the form of another platform's.
///
/// Ten characters of `[a-z0-9]` and a `-` have the form of a platform id. Whether a platform with that id exists makes
/// no difference: one may be created later, and the answer reveals nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformResourceName(ResourceName);

/// The host name of a DNS record: outside the base domain, or below `{platformId}.{base domain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHost(HostName);

/// A host name of the platform: below `{platformId}.{base domain}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformHost(HostName);

/// The host name of a custom domain: outside the base domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomHost(HostName);

impl PlatformResourceName {
    /// Checks a name for a platform.
    ///
    /// # Errors
    /// A sentence, when the name begins with what has the form of another platform's id.
    pub fn new(name: ResourceName, platform: &PlatformId) -> Result<Self, String> {
        let first = name.as_str().split_once('-').map(|(first, _)| first);
        if first.is_some_and(|first| PlatformId::parse(first).is_ok_and(|id| id != *platform)) {
            // Without the name: it may be a secret in the wrong place.
            return Err(format!(
                "must not begin with ten characters and a '-', which is the form of another platform's id; begin it \
                 with '{platform}-', or with a word of another length"
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
    /// A sentence, when it lies at or below the base domain and is not the platform's.
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
    /// A sentence, when it does not lie below `{platformId}.{base domain}`.
    pub fn new(host: HostName, platform: &PlatformId, base: &HostName) -> Result<Self, String> {
        let own = format!(".{platform}.{base}");
        if host.as_str().ends_with(&own) {
            return Ok(Self(host));
        }
        Err(format!("must end in '{own}', as the host names of this platform do"))
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
    /// A sentence, when it lies at or below the base domain.
    pub fn new(host: HostName, base: &HostName) -> Result<Self, String> {
        if host.is_at_or_below(base) {
            return Err(format!(
                "must not be '{base}' or end in '.{base}', which are not customers' own host names"
            ));
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
    fn names_outside_any_prefix_belong_to_everyone() {
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
    fn hosts_at_or_below_the_base_domain() {
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
        fn generated_names_belong_to_their_platform_alone(
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
        fn generated_hosts_belong_to_their_platform_alone(
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
        fn no_allowed_name_is_one_that_another_platform_generates(
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
