//! Workspace stacks: running instances of a stack template; the life of one, as a table.

use crate::{error::Result, resource::ResourceType, transition};

text_enum! {
    /// How a stack stands.
    pub enum StackStatus {
        /// A version was asked for; its job has not begun.
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        /// Nothing of it runs, and why is told.
        Failed = "failed",
    }
}

text_enum! {
    /// What happens to a stack.
    pub enum StackEvent {
        /// Someone asks for another version, or for the same once more.
        Upgrade = "upgrade",
        /// Someone asks for the version before.
        Rollback = "rollback",
        /// Its job begins.
        Begin = "begin",
        /// Its job is done.
        Complete = "complete",
        /// Its job is undone, and nothing ran before.
        Fail = "fail",
        /// Its job is undone, and the version that ran before runs on.
        Revert = "revert",
    }
}

/// Every lawful transition. Anything else is [`crate::Kind::InvalidTransition`].
pub const TRANSITIONS: &[(StackStatus, StackEvent, StackStatus)] = {
    use StackEvent as E;
    use StackStatus as S;
    &[
        (S::Active, E::Upgrade, S::Pending),
        (S::Failed, E::Upgrade, S::Pending),
        (S::Active, E::Rollback, S::Pending),
        (S::Pending, E::Begin, S::Provisioning),
        (S::Provisioning, E::Complete, S::Active),
        (S::Pending, E::Fail, S::Failed),
        (S::Provisioning, E::Fail, S::Failed),
        // A job can be cancelled after its end.
        (S::Active, E::Fail, S::Failed),
        (S::Pending, E::Revert, S::Active),
        (S::Provisioning, E::Revert, S::Active),
        (S::Active, E::Revert, S::Active),
    ]
};

impl StackStatus {
    /// The status after `event`.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidTransition`], whose details name `from`, `event` and the events `allowed` now.
    pub fn after(self, event: StackEvent) -> Result<Self> {
        transition::after(TRANSITIONS, "a stack", self, event)
    }

    /// The events that may happen now.
    pub fn allowed(self) -> Vec<StackEvent> {
        transition::allowed(TRANSITIONS, self)
    }

    /// Whether a job is about to change it.
    pub const fn is_on_its_way(self) -> bool {
        matches!(self, Self::Pending | Self::Provisioning)
    }
}

/// The service that the resources belong to that all features of a stack share: no feature can have its name.
pub const SHARED: &str = "shared";

/// What the features of a stack can share, in the order in which it is made.
pub const SHARABLE: [ResourceType; 4] =
    [ResourceType::D1, ResourceType::R2, ResourceType::Kv, ResourceType::Queue];

#[cfg(test)]
mod tests {
    use super::*;

    /// The table written a second time so that a slip in either is seen.
    fn expected(from: &str, event: &str) -> Option<&'static str> {
        match (from, event) {
            ("active" | "failed", "upgrade") | ("active", "rollback") => Some("pending"),
            ("pending", "begin") => Some("provisioning"),
            ("provisioning", "complete") => Some("active"),
            ("pending" | "provisioning" | "active", "fail") => Some("failed"),
            ("pending" | "provisioning" | "active", "revert") => Some("active"),
            _ => None,
        }
    }

    #[test]
    fn the_whole_cross_product() {
        transition::check(StackStatus::ALL, StackEvent::ALL, StackStatus::after, expected);
    }

    #[test]
    fn what_is_on_its_way_cannot_be_asked_for_more() {
        for status in StackStatus::ALL {
            let asked = [StackEvent::Upgrade, StackEvent::Rollback].map(|event| status.after(event).is_ok());
            assert_eq!(asked.contains(&true), !status.is_on_its_way(), "{status}");
        }
    }
}
