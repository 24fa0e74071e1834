//! Names of features: the default package, and the names of their workers, databases and hosts.

use crate::{
    id::{PlatformId, StackId},
    name::{HostName, Slug},
    resource::{Environment, ResourceType, resource_name},
};

/// The package of a feature whose package no stack definition states.
pub fn default_package(feature: &Slug) -> String {
    format!("@neutrino-io/feature-{feature}")
}

/// Rejects a feature whose worker, database or host cannot have a valid name.
///
/// # Errors
/// A predicate that states the reason.
pub fn check_names(
    platform: &PlatformId,
    stack: &StackId,
    feature: &Slug,
    environment: Environment,
) -> Result<(), String> {
    // The database has the longest suffix of all resources of a feature.
    resource_name(platform, stack, feature, ResourceType::D1, environment)?;
    HostName::parse(&format!("{feature}.svc"))
        .map(drop)
        .map_err(|why| format!("must be valid in a host name: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_ids_must_make_valid_resource_and_host_names() {
        let (platform, stack) = (PlatformId::parse("abcdefghij").unwrap(), StackId::default_stack());
        let check =
            |feature: &str| check_names(&platform, &stack, &Slug::parse(feature).unwrap(), Environment::Stg);
        assert_eq!(check("billing"), Ok(()));
        assert_eq!(check(&"x".repeat(37)), Ok(()));
        assert!(check(&"x".repeat(38)).unwrap_err().contains("at most 63"));
        for bad in ["-billing", "billing-"] {
            assert!(check(bad).unwrap_err().contains("host name"), "{bad}");
        }
        assert_eq!(default_package(&Slug::parse("billing").unwrap()), "@neutrino-io/feature-billing");
    }
}
