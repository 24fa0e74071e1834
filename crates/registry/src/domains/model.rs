//! Rows of custom domains.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, QueryableByName, Selectable};
use domain::{
    Cursor, DnsRecordId, DomainId, Error, HostName, Kind, Name, Patch, PlatformId, Result,
    ownership::{CustomHost, PlatformHost},
    resource::DomainStatus,
};
use runtime::clock;
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema::custom_domains;

/// Row of a custom domain.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, QueryableByName, Selectable, Insertable, Identifiable, AsChangeset,
)]
#[diesel(table_name = custom_domains, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct CustomDomainRow {
    pub(crate) id: DomainId,
    pub(crate) platform_id: PlatformId,
    pub(crate) dns_record_id: DnsRecordId,
    pub(crate) hostname: HostName,
    pub(crate) target_dns: HostName,
    pub(crate) cf_hostname_id: Option<String>,
    pub(crate) ssl_status: Name,
    pub(crate) status: DomainStatus,
    pub(crate) verified_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    /// Time of the next check while the domain is pending.
    pub(crate) due_at: Option<DateTime<Utc>>,
    /// Time of the last check.
    pub(crate) checked_at: Option<DateTime<Utc>>,
    /// Reason why the last check failed.
    pub(crate) check_error: Option<String>,
    /// Time at which the claim lapses while the domain is pending.
    pub(crate) lapses_at: Option<DateTime<Utc>>,
}

/// A domain that waits for its verification.
#[derive(Debug, Serialize, ToSchema, Queryable, Selectable)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = custom_domains)]
pub(crate) struct PendingDomain {
    #[schema(value_type = Uuid)]
    id: DomainId,
    platform_id: PlatformId,
    #[schema(required)]
    cf_hostname_id: Option<String>,
    hostname: HostName,
}

/// Fields of a new domain.
#[derive(Debug, Clone)]
pub(crate) struct NewDomain {
    pub(crate) dns_record_id: DnsRecordId,
    pub(crate) hostname: CustomHost,
    pub(crate) target_dns: PlatformHost,
    pub(crate) cf_hostname_id: Option<String>,
}

/// Changes to a domain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) ssl_status: Option<Name>,
    pub(crate) status: Option<DomainStatus>,
    pub(crate) verified_at: Patch<DateTime<Utc>>,
    pub(crate) cf_hostname_id: Patch<String>,
}

/// Result of a check.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// Start of the check.
    pub(crate) at: DateTime<Utc>,
    /// Reason why the domain does not point to its target yet; `None` if it does.
    pub(crate) failure: Option<String>,
}

impl NewDomain {
    /// Returns the row, with a new id, due for its first check.
    ///
    /// # Errors
    /// [`Kind::Internal`]; never caused by the caller.
    pub(crate) fn into_row(self, platform: &PlatformId, claim_period: TimeDelta) -> Result<CustomDomainRow> {
        let now = clock::now();
        Ok(CustomDomainRow {
            id: DomainId::generate(),
            platform_id: platform.clone(),
            dns_record_id: self.dns_record_id,
            hostname: self.hostname.into_inner(),
            target_dns: self.target_dns.into_inner(),
            cf_hostname_id: self.cf_hostname_id,
            ssl_status: Name::parse(DomainStatus::Pending.as_str()).map_err(Error::internal)?,
            status: DomainStatus::Pending,
            verified_at: None,
            created_at: now,
            updated_at: now,
            due_at: Some(now),
            checked_at: None,
            check_error: None,
            lapses_at: Some(now + claim_period),
        })
    }
}

impl CustomDomainRow {
    /// Rejects changes that only an operator can make. Repeating the current values is allowed.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for a change to active, and for a different time of verification.
    pub(crate) fn reject_self_verification(&self, change: &Change) -> Result<()> {
        let activates = change.status == Some(DomainStatus::Active) && self.status != DomainStatus::Active;
        if !activates && change.verified_at.clone().apply(self.verified_at) == self.verified_at {
            return Ok(());
        }
        let message = "Only an operator can set a custom domain to active or set its time of verification. It becomes \
                       active when a check finds its DNS records. Set the status to 'pending' to check it now.";
        Err(Error::new(Kind::Forbidden, message))
    }

    /// Returns the domain after a change. If it becomes pending again, its claim holds for another `claim_period`.
    ///
    /// # Errors
    /// [`domain::Kind::Validation`] for an active domain that was never verified.
    pub(crate) fn changed(&self, change: Change, claim_period: TimeDelta) -> Result<Self> {
        let (before, now) = (self.clone(), clock::now());
        let status = change.status.unwrap_or(before.status);
        let mut verified_at = change.verified_at.clone().apply(before.verified_at);
        if status == DomainStatus::Active && verified_at.is_none() {
            if change.verified_at == Patch::Clear {
                return Err(Error::invalid("verifiedAt", "must not be cleared while the domain is active"));
            }
            verified_at = Some(now);
        }
        let pending = status == DomainStatus::Pending;
        let (begins, recheck) = (pending && before.status != status, pending && change.status.is_some());
        let check_error = match (before.status, status) {
            (_, DomainStatus::Active) => None,
            (DomainStatus::Pending, DomainStatus::Failed) => {
                Some(ended_message(before.check_error.as_deref()))
            }
            _ if begins => None,
            _ => before.check_error.clone(),
        };
        Ok(Self {
            ssl_status: change.ssl_status.unwrap_or(before.ssl_status),
            cf_hostname_id: change.cf_hostname_id.apply(before.cf_hostname_id),
            status,
            verified_at,
            updated_at: now,
            // A request for status `pending` schedules a check at once.
            due_at: before.due_at.filter(|_| pending && !recheck).or(pending.then_some(now)),
            check_error,
            lapses_at: if begins { Some(now + claim_period) } else { before.lapses_at.filter(|_| pending) },
            ..before
        })
    }

    /// Returns the domain after a check. `None` if the check changes nothing, because it is older than the last one or
    /// the domain is no longer pending.
    pub(crate) fn checked(&self, check: &Check) -> Option<Self> {
        let known = self.checked_at.is_some_and(|last| check.at <= last);
        if known || self.status != DomainStatus::Pending {
            return None;
        }
        let checked = Self { checked_at: Some(check.at), check_error: check.failure.clone(), ..self.clone() };
        Some(match &check.failure {
            Some(_) => checked,
            None => Self {
                status: DomainStatus::Active,
                verified_at: Some(self.verified_at.unwrap_or(check.at)),
                updated_at: clock::now(),
                due_at: None,
                lapses_at: None,
                ..checked
            },
        })
    }

    /// Returns the domain after its claim ended without verification.
    pub(crate) fn failed(&self, reason: String) -> Self {
        Self {
            status: DomainStatus::Failed,
            updated_at: clock::now(),
            due_at: None,
            lapses_at: None,
            check_error: Some(reason),
            ..self.clone()
        }
    }

    /// Returns the reason why no check can verify the claim, if any. Claims stored by earlier versions may point to
    /// another platform, or to a host that proves nothing.
    pub(crate) fn unverifiable(&self, base: &HostName) -> Option<String> {
        let hostname = CustomHost::new(self.hostname.clone(), base).err();
        let target = PlatformHost::new(self.target_dns.clone(), &self.platform_id, base).err();
        let remedy = "delete the domain and create it again";
        hostname
            .map(|reason| format!("its host name {reason}; {remedy}"))
            .or_else(|| target.map(|reason| format!("its targetDns {reason}; {remedy}")))
    }

    /// Cursor in the list.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

/// Error of a domain whose checks were ended by a user.
fn ended_message(last: Option<&str>) -> String {
    let ended = "its checks were ended by a user";
    last.map_or_else(|| ended.to_owned(), |reason| format!("{ended}; the last one found: {reason}"))
}
