//! Features that an entity runs: the life of an activation, as a table.

use crate::{
    error::Result,
    id::{PlatformId, StackId},
    name::{HostName, Slug},
    resource::{Environment, ResourceType, resource_name},
    transition,
};

text_enum! {
    /// Where the activation of a feature is in its life.
    pub enum FeatureStatus {
        /// Asked for; its job has not begun.
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
        Deactivating = "deactivating",
        Deactivated = "deactivated",
    }
}

text_enum! {
    /// What happens to the activation of a feature.
    pub enum FeatureEvent {
        /// Someone asks for it, anew or in another version.
        Activate = "activate",
        /// Its job begins.
        Begin = "begin",
        /// Its job is done.
        Complete = "complete",
        /// Its job is undone, and nothing ran before.
        Fail = "fail",
        /// Its job is undone, and the version that ran before runs again.
        Revert = "revert",
        Deactivate = "deactivate",
        /// The job that deactivates it is done.
        Remove = "remove",
        /// The job that deactivates it is undone.
        Restore = "restore",
    }
}

/// Every lawful transition. Anything else is [`crate::error::Kind::InvalidTransition`].
pub const TRANSITIONS: &[(FeatureStatus, FeatureEvent, FeatureStatus)] = {
    use FeatureEvent as E;
    use FeatureStatus as S;
    &[
        (S::Pending, E::Activate, S::Pending),
        (S::Provisioning, E::Activate, S::Pending),
        (S::Active, E::Activate, S::Pending),
        (S::Failed, E::Activate, S::Pending),
        (S::Deactivating, E::Activate, S::Pending),
        (S::Deactivated, E::Activate, S::Pending),
        (S::Pending, E::Begin, S::Provisioning),
        (S::Provisioning, E::Complete, S::Active),
        (S::Pending, E::Fail, S::Failed),
        (S::Provisioning, E::Fail, S::Failed),
        // A job can be cancelled after its end.
        (S::Active, E::Fail, S::Failed),
        (S::Pending, E::Revert, S::Active),
        (S::Provisioning, E::Revert, S::Active),
        (S::Active, E::Revert, S::Active),
        (S::Active, E::Deactivate, S::Deactivating),
        (S::Deactivating, E::Remove, S::Deactivated),
        (S::Deactivating, E::Restore, S::Active),
        (S::Deactivated, E::Restore, S::Active),
    ]
};

impl FeatureStatus {
    /// The status after `event`.
    ///
    /// # Errors
    /// [`crate::error::Kind::InvalidTransition`], whose details name `from`, `event` and the events `allowed` now.
    pub fn after(self, event: FeatureEvent) -> Result<Self> {
        transition::after(TRANSITIONS, "a feature", self, event)
    }

    /// The events that may happen now.
    pub fn allowed(self) -> Vec<FeatureEvent> {
        transition::allowed(TRANSITIONS, self)
    }

    /// Whether it has been asked for and is not active yet.
    pub const fn is_on_its_way(self) -> bool {
        matches!(self, Self::Pending | Self::Provisioning)
    }

    /// Whether there is, or may be, something of it that has to be taken down before its entity goes.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Provisioning | Self::Active | Self::Deactivating)
    }
}

/// The package of a feature that no stack's definition names.
pub fn default_package(feature: &Slug) -> String {
    format!("@neutrino-io/feature-{feature}")
}

/// Refuses a feature whose worker, database or host could have no name.
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

    /// The table written a second time so that a slip in either is seen.
    fn expected(from: &str, event: &str) -> Option<&'static str> {
        match (from, event) {
            (_, "activate") => Some("pending"),
            ("pending", "begin") => Some("provisioning"),
            ("provisioning", "complete") => Some("active"),
            ("pending" | "provisioning" | "active", "fail") => Some("failed"),
            ("pending" | "provisioning" | "active", "revert") => Some("active"),
            ("active", "deactivate") => Some("deactivating"),
            ("deactivating", "remove") => Some("deactivated"),
            ("deactivating" | "deactivated", "restore") => Some("active"),
            _ => None,
        }
    }

    #[test]
    fn the_whole_cross_product() {
        transition::check(FeatureStatus::ALL, FeatureEvent::ALL, FeatureStatus::after, expected);
    }

    #[test]
    fn what_is_on_its_way_is_live() {
        for status in FeatureStatus::ALL {
            assert!(status.is_live() || !status.is_on_its_way(), "{status}");
        }
        let idle: Vec<_> = FeatureStatus::ALL.iter().filter(|status| !status.is_live()).collect();
        assert_eq!(idle, [&FeatureStatus::Failed, &FeatureStatus::Deactivated]);
    }

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
