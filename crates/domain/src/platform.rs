//! Lifecycle of a platform, as a transition table.

use crate::{
    error::{Error, Kind, Result},
    transition,
};

text_enum! {
    /// Status of a platform.
    pub enum PlatformStatus {
        Pending = "pending",
        Provisioning = "provisioning",
        Active = "active",
        Suspended = "suspended",
        PendingCancellation = "pending_cancellation",
        Cancelled = "cancelled",
        Deleted = "deleted",
    }
}

text_enum! {
    /// Event in the lifecycle of a platform.
    pub enum PlatformEvent {
        Bootstrap = "bootstrap",
        Complete = "complete",
        Fail = "fail",
        Suspend = "suspend",
        Restore = "restore",
        Cancel = "cancel",
        PeriodEnd = "period_end",
        Delete = "delete",
    }
}

text_enum! {
    /// Pricing tier of a platform.
    pub enum Tier {
        Starter = "starter",
        Growth = "growth",
        Scale = "scale",
    }
}

text_enum! {
    /// Kind of actor that triggered a lifecycle event.
    pub enum TriggerType {
        User = "user",
        Operator = "operator",
        System = "system",
        Billing = "billing",
    }
}

/// Every valid transition. Anything else is [`crate::error::Kind::InvalidTransition`].
pub const TRANSITIONS: &[(PlatformStatus, PlatformEvent, PlatformStatus)] = {
    use PlatformEvent as E;
    use PlatformStatus as S;
    &[
        (S::Pending, E::Bootstrap, S::Provisioning),
        (S::Provisioning, E::Complete, S::Active),
        (S::Provisioning, E::Fail, S::Pending),
        (S::Active, E::Suspend, S::Suspended),
        (S::Suspended, E::Restore, S::Active),
        (S::PendingCancellation, E::Restore, S::Active),
        (S::Active, E::Cancel, S::PendingCancellation),
        (S::Suspended, E::Cancel, S::PendingCancellation),
        (S::PendingCancellation, E::PeriodEnd, S::Cancelled),
        (S::Pending, E::Delete, S::Deleted),
        (S::Suspended, E::Delete, S::Deleted),
        (S::PendingCancellation, E::Delete, S::Deleted),
        (S::Cancelled, E::Delete, S::Deleted),
    ]
};

impl PlatformStatus {
    /// The status after `event`.
    ///
    /// # Errors
    /// [`Kind::InvalidTransition`], whose details contain `from`, `event` and the events `allowed` now.
    pub fn after(self, event: PlatformEvent) -> Result<Self> {
        transition::after(TRANSITIONS, "a platform", self, event)
    }

    /// The events that the status allows.
    pub fn allowed(self) -> Vec<PlatformEvent> {
        transition::allowed(TRANSITIONS, self)
    }
}

impl Tier {
    /// Rejects a new platform of this tier when its owner already has `limit` platforms or more. A limit of 0 means no
    /// limit.
    ///
    /// # Errors
    /// [`Kind::QuotaExceeded`], whose details contain the limit and `used`.
    pub fn check_platform_limit(self, limit: u32, used: usize) -> Result<()> {
        if limit == 0 || used < limit as usize {
            return Ok(());
        }
        let message = format!(
            "You have {used} platforms. Creating a platform of tier {self} requires fewer than {limit}."
        );
        Err(self.quota_exceeded("platforms", limit, message).with("used", used))
    }

    /// The error for a request that exceeds a quota of the tier.
    pub fn quota_exceeded(self, quota: &'static str, limit: u32, message: String) -> Error {
        Error::new(Kind::QuotaExceeded, message).with("quota", quota).with("limit", limit).with("tier", self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second copy of the table, so that a mistake in one of them fails the test.
    fn expected(from: &str, event: &str) -> Option<&'static str> {
        match (from, event) {
            ("pending", "bootstrap") => Some("provisioning"),
            ("provisioning", "complete") => Some("active"),
            ("provisioning", "fail") => Some("pending"),
            ("active", "suspend") => Some("suspended"),
            ("suspended" | "pending_cancellation", "restore") => Some("active"),
            ("active" | "suspended", "cancel") => Some("pending_cancellation"),
            ("pending_cancellation", "period_end") => Some("cancelled"),
            ("pending" | "suspended" | "pending_cancellation" | "cancelled", "delete") => Some("deleted"),
            _ => None,
        }
    }

    #[test]
    fn every_pair_of_status_and_event_matches_the_table() {
        transition::check(PlatformStatus::ALL, PlatformEvent::ALL, PlatformStatus::after, expected);
    }

    #[test]
    fn platform_limit_rejects_owners_who_reached_it() {
        for (limit, used, fits) in [(1, 0, true), (1, 1, false), (3, 2, true), (1, 3, false), (0, 1000, true)]
        {
            assert_eq!(Tier::Starter.check_platform_limit(limit, used).is_ok(), fits, "{used} of {limit}");
        }
        let error = Tier::Starter.check_platform_limit(1, 3).unwrap_err();
        let details = [("quota", "platforms".into()), ("limit", 1.into()), ("tier", "starter".into())];
        assert_eq!((error.kind(), error.details().len()), (Kind::QuotaExceeded, 4));
        assert_eq!(error.details()["used"], 3);
        assert!(details.iter().all(|(key, value): &(_, serde_json::Value)| error.details()[*key] == *value));
    }

    #[test]
    fn deleted_platform_allows_no_event() {
        assert!(PlatformStatus::Deleted.allowed().is_empty());
    }
}
