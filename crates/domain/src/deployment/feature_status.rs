//! Status of an activation, with its transition table.

use crate::{error::Result, transition};

text_enum! {
    /// Status of the activation of a feature.
    pub enum FeatureStatus {
        /// Requested; its job has not begun.
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        Failed = "failed",
        Deactivating = "deactivating",
        Deactivated = "deactivated",
    }
}

text_enum! {
    /// Change of the status of an activation.
    pub enum FeatureTransition {
        /// A caller requests the feature, again or in a different version.
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

/// Every valid transition. Anything else is [`crate::error::Kind::InvalidTransition`].
pub(super) const TRANSITIONS: &[(FeatureStatus, FeatureTransition, FeatureStatus)] = {
    use FeatureStatus as S;
    use FeatureTransition as T;
    &[
        (S::Pending, T::Activate, S::Pending),
        (S::Provisioning, T::Activate, S::Pending),
        (S::Active, T::Activate, S::Pending),
        (S::Failed, T::Activate, S::Pending),
        (S::Deactivating, T::Activate, S::Pending),
        (S::Deactivated, T::Activate, S::Pending),
        (S::Pending, T::Begin, S::Provisioning),
        (S::Provisioning, T::Complete, S::Active),
        (S::Pending, T::Fail, S::Failed),
        (S::Provisioning, T::Fail, S::Failed),
        // A job can be cancelled after its end.
        (S::Active, T::Fail, S::Failed),
        (S::Pending, T::Revert, S::Active),
        (S::Provisioning, T::Revert, S::Active),
        (S::Active, T::Revert, S::Active),
        (S::Active, T::Deactivate, S::Deactivating),
        (S::Deactivating, T::Remove, S::Deactivated),
        (S::Deactivating, T::Restore, S::Active),
        (S::Deactivated, T::Restore, S::Active),
    ]
};

impl FeatureStatus {
    /// The status after `transition`.
    ///
    /// # Errors
    /// [`crate::error::Kind::InvalidTransition`], whose details contain `from`, `event` and the events `allowed` now.
    pub fn after(self, transition: FeatureTransition) -> Result<Self> {
        transition::after(TRANSITIONS, "a feature", self, transition)
    }

    /// Returns true if the feature was requested and is not active yet.
    pub const fn is_activating(self) -> bool {
        matches!(self, Self::Pending | Self::Provisioning)
    }

    /// The statuses for which [`has_resources`](Self::has_resources) is true.
    pub fn with_resources() -> Vec<Self> {
        Self::ALL.iter().copied().filter(|status| status.has_resources()).collect()
    }

    /// Returns true if a job is about to change the activation.
    pub const fn is_changing(self) -> bool {
        self.is_activating() || matches!(self, Self::Deactivating)
    }

    /// Returns true if resources of the feature exist, or may exist: its entity cannot be deleted before they are taken
    /// down.
    pub const fn has_resources(self) -> bool {
        matches!(self, Self::Pending | Self::Provisioning | Self::Active | Self::Deactivating)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second copy of the table, so that a mistake in one of them fails the test.
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
    fn every_pair_of_status_and_transition_matches_the_table() {
        transition::check(FeatureStatus::ALL, FeatureTransition::ALL, FeatureStatus::after, expected);
    }

    #[test]
    fn activating_features_have_resources() {
        for status in FeatureStatus::ALL {
            assert!(status.has_resources() || !status.is_activating(), "{status}");
        }
        let idle: Vec<_> = FeatureStatus::ALL.iter().filter(|status| !status.has_resources()).collect();
        assert_eq!(idle, [&FeatureStatus::Failed, &FeatureStatus::Deactivated]);
    }
}
