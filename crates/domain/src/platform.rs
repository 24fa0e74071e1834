//! The life of a platform, as a table.

use crate::{
    error::{Error, Kind, Result},
    transition,
};

text_enum! {
    /// Where a platform is in its life.
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
    /// What happens to a platform.
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
    /// What a platform's owner pays for.
    pub enum Tier {
        Starter = "starter",
        Growth = "growth",
        Scale = "scale",
    }
}

text_enum! {
    /// Who or what caused a lifecycle event.
    pub enum TriggerType {
        User = "user",
        Operator = "operator",
        System = "system",
        Billing = "billing",
    }
}

/// Every lawful transition. Anything else is [`crate::error::Kind::InvalidTransition`].
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
    /// [`crate::error::Kind::InvalidTransition`], whose details name `from`, `event` and the events `allowed` now.
    pub fn after(self, event: PlatformEvent) -> Result<Self> {
        transition::after(TRANSITIONS, "a platform", self, event)
    }

    /// The events that may happen now.
    pub fn allowed(self) -> Vec<PlatformEvent> {
        transition::allowed(TRANSITIONS, self)
    }
}

impl Tier {
    /// Refuses one platform more to a person who has `used`, where those of this tier are for who has fewer than `limit`;
    /// 0 is no limit.
    ///
    /// # Errors
    /// [`Kind::QuotaExceeded`], whose details tell the numbers.
    pub fn one_more(self, limit: u32, used: usize) -> Result<()> {
        if limit == 0 || used < limit as usize {
            return Ok(());
        }
        let message =
            format!("A platform of tier {self} is for who has fewer than {limit} platforms; you have {used}");
        Err(self.exceeded("platforms", limit, message).with("used", used))
    }

    /// What is told where more is asked for than the tier allows.
    pub fn exceeded(self, quota: &'static str, limit: u32, message: String) -> Error {
        Error::new(Kind::QuotaExceeded, message).with("quota", quota).with("limit", limit).with("tier", self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the product description, written a second time so that a slip in either is seen.
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
    fn the_whole_cross_product() {
        transition::check(PlatformStatus::ALL, PlatformEvent::ALL, PlatformStatus::after, expected);
    }

    #[test]
    fn as_many_as_the_limit_are_one_too_many() {
        for (limit, used, fits) in [(1, 0, true), (1, 1, false), (3, 2, true), (1, 3, false), (0, 1000, true)]
        {
            assert_eq!(Tier::Starter.one_more(limit, used).is_ok(), fits, "{used} of {limit}");
        }
        let told = Tier::Starter.one_more(1, 3).unwrap_err();
        let details = [("quota", "platforms".into()), ("limit", 1.into()), ("tier", "starter".into())];
        assert_eq!((told.kind(), told.details().len()), (Kind::QuotaExceeded, 4));
        assert_eq!(told.details()["used"], 3);
        assert!(details.iter().all(|(key, value): &(_, serde_json::Value)| told.details()[*key] == *value));
    }

    #[test]
    fn deleted_is_final() {
        assert!(PlatformStatus::Deleted.allowed().is_empty());
    }
}
