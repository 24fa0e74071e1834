//! Status of a stack, with its transition table.

use crate::{error::Result, transition};

text_enum! {
    /// Status of a stack.
    pub enum StackStatus {
        /// A version is requested; its job has not begun.
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        /// No version runs; `error` of the stack states the reason.
        Failed = "failed",
    }
}

text_enum! {
    /// Change of the status of a stack.
    pub enum StackTransition {
        /// A caller requests a version: a different one, or the same again.
        Upgrade = "upgrade",
        /// A caller requests the version before the last upgrade.
        Rollback = "rollback",
        /// Its job begins.
        Begin = "begin",
        /// Its job is done.
        Complete = "complete",
        /// Its job is undone, and nothing ran before.
        Fail = "fail",
        /// Its job is undone, and the version that ran before still runs.
        Revert = "revert",
    }
}

/// Every valid transition. Anything else is [`crate::Kind::InvalidTransition`].
const TRANSITIONS: &[(StackStatus, StackTransition, StackStatus)] = {
    use StackStatus as S;
    use StackTransition as T;
    &[
        (S::Active, T::Upgrade, S::Pending),
        (S::Failed, T::Upgrade, S::Pending),
        (S::Active, T::Rollback, S::Pending),
        (S::Pending, T::Begin, S::Provisioning),
        (S::Provisioning, T::Complete, S::Active),
        (S::Pending, T::Fail, S::Failed),
        (S::Provisioning, T::Fail, S::Failed),
        // A job can be cancelled after its end.
        (S::Active, T::Fail, S::Failed),
        (S::Pending, T::Revert, S::Active),
        (S::Provisioning, T::Revert, S::Active),
        (S::Active, T::Revert, S::Active),
    ]
};

impl StackStatus {
    /// The status after `transition`.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidTransition`], whose details contain `from`, `event` and the events `allowed` now.
    pub fn after(self, transition: StackTransition) -> Result<Self> {
        transition::after(TRANSITIONS, "a stack", self, transition)
    }

    /// Returns true if a job is about to change the stack.
    pub const fn is_changing(self) -> bool {
        matches!(self, Self::Pending | Self::Provisioning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second copy of the table, so that a mistake in one of them fails the test.
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
    fn every_pair_of_status_and_transition_matches_the_table() {
        transition::check(StackStatus::ALL, StackTransition::ALL, StackStatus::after, expected);
    }

    #[test]
    fn a_stack_that_is_being_changed_takes_no_request() {
        for status in StackStatus::ALL {
            let valid =
                [StackTransition::Upgrade, StackTransition::Rollback].map(|one| status.after(one).is_ok());
            assert_eq!(valid.contains(&true), !status.is_changing(), "{status}");
        }
    }
}
