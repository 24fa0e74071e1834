//! Names of features: their default package, and the names that their workers, databases and hosts get.

use crate::{
    id::{PlatformId, StackId},
    name::{HostName, Slug},
    resource::{Environment, ResourceType, resource_name},
};

/// The package of a feature that no stack's definition names.
pub fn default_package(feature: &Slug) -> String {
    format!("@neutrino-io/feature-{feature}")
}

/// Rejects a feature whose worker, database or host cannot have a valid name.
///
/// # Errors
/// A sentence that says why.
pub fn check_names(
    platform: &PlatformId,
    stack: &StackId,
    feature: &Slug,
    environment: Environment,
) -> Result<(), String> {
    // A name is longest with the suffix of the database.
    resource_name(platform, stack, feature, ResourceType::D1, environment)?;
    HostName::parse(&format!("{feature}.svc"))
        .map(drop)
        .map_err(|why| format!("must be fit for a host name: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_possible() {
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
