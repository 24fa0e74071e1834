//! The rows of custom domains.

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

/// The row of a custom domain.
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
    /// When it is to be checked next, if it is pending.
    pub(crate) due_at: Option<DateTime<Utc>>,
    /// When it was checked last.
    pub(crate) checked_at: Option<DateTime<Utc>>,
    /// Why it did not lead to its target then.
    pub(crate) check_error: Option<String>,
    /// When its claim lapses, if it is pending.
    pub(crate) lapses_at: Option<DateTime<Utc>>,
}

/// A domain that waits to be seen leading to its target.
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

/// What a new domain is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewDomain {
    pub(crate) dns_record_id: DnsRecordId,
    pub(crate) hostname: CustomHost,
    pub(crate) target_dns: PlatformHost,
    pub(crate) cf_hostname_id: Option<String>,
}

/// What of a domain may be changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) ssl_status: Option<Name>,
    pub(crate) status: Option<DomainStatus>,
    pub(crate) verified_at: Patch<DateTime<Utc>>,
    pub(crate) cf_hostname_id: Patch<String>,
}

/// What a check has found.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// When it began.
    pub(crate) at: DateTime<Utc>,
    /// Why the domain does not lead to its target yet.
    pub(crate) not_yet: Option<String>,
}

impl NewDomain {
    /// The row, with a new id, due for its first check.
    ///
    /// # Errors
    /// None that a caller could cause.
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
    /// Rejects what only an operator may say of a domain. What it is already may be repeated.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] for a change to active, and for another time of verification.
    pub(crate) fn refuse_self_verification(&self, change: &Change) -> Result<()> {
        let activates = change.status == Some(DomainStatus::Active) && self.status != DomainStatus::Active;
        if !activates && change.verified_at.clone().apply(self.verified_at) == self.verified_at {
            return Ok(());
        }
        let message = "Only an operator sets a custom domain active or says when it was verified. It becomes active when \
                       a check finds its DNS records, and status 'pending' has it checked at once";
        Err(Error::new(Kind::Forbidden, message))
    }

    /// The domain after a change. Pending again, its claim holds for `claim_period`.
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
        let (begins, again) = (pending && before.status != status, pending && change.status.is_some());
        let check_error = match (before.status, status) {
            (_, DomainStatus::Active) => None,
            (DomainStatus::Pending, DomainStatus::Failed) => Some(ended(before.check_error.as_deref())),
            _ if begins => None,
            _ => before.check_error.clone(),
        };
        Ok(Self {
            ssl_status: change.ssl_status.unwrap_or(before.ssl_status),
            cf_hostname_id: change.cf_hostname_id.apply(before.cf_hostname_id),
            status,
            verified_at,
            updated_at: now,
            // Said to be pending, it is looked at again at once.
            due_at: before.due_at.filter(|_| pending && !again).or(pending.then_some(now)),
            check_error,
            lapses_at: if begins { Some(now + claim_period) } else { before.lapses_at.filter(|_| pending) },
            ..before
        })
    }

    /// The domain after a check, or `None` when the check changes nothing: an older one, or of a domain that is
    /// pending no longer.
    pub(crate) fn checked(&self, check: &Check) -> Option<Self> {
        let known = self.checked_at.is_some_and(|last| check.at <= last);
        if known || self.status != DomainStatus::Pending {
            return None;
        }
        let seen = Self { checked_at: Some(check.at), check_error: check.not_yet.clone(), ..self.clone() };
        Some(match &check.not_yet {
            Some(_) => seen,
            None => Self {
                status: DomainStatus::Active,
                verified_at: Some(self.verified_at.unwrap_or(check.at)),
                updated_at: clock::now(),
                due_at: None,
                lapses_at: None,
                ..seen
            },
        })
    }

    /// The domain when its claim has ended without proof.
    pub(crate) fn failed(&self, why: String) -> Self {
        Self {
            status: DomainStatus::Failed,
            updated_at: clock::now(),
            due_at: None,
            lapses_at: None,
            check_error: Some(why),
            ..self.clone()
        }
    }

    /// Why its claim cannot be verified, whatever DNS says. Claims that earlier versions stored may lead to another
    /// platform, or to a host that proves nothing.
    pub(crate) fn impossible(&self, base: &HostName) -> Option<String> {
        let hostname = CustomHost::new(self.hostname.clone(), base).err();
        let target = PlatformHost::new(self.target_dns.clone(), &self.platform_id, base).err();
        let again = "delete the domain and create it again";
        hostname
            .map(|why| format!("its host name {why}; {again}"))
            .or_else(|| target.map(|why| format!("its targetDns {why}; {again}")))
    }

    /// Where it stands in the list.
    pub(crate) fn place(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

/// Why a domain has failed that a person has ended the checks of.
fn ended(last: Option<&str>) -> String {
    let ended = "someone has ended its checks";
    last.map_or_else(|| ended.to_owned(), |why| format!("{ended}, of which the last found: {why}"))
}
