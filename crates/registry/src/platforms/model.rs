//! Rows of platforms and lifecycle events.

use chrono::{DateTime, Utc};
use diesel::{AsChangeset, Identifiable, Insertable, Queryable, Selectable};
use domain::{
    Cursor, JobId, LifecycleEventId, Name, PlatformId, Result, Slug,
    platform::{PlatformEvent, PlatformStatus, Tier, TriggerType},
};
use identity::{ActorType, Ctx};
use runtime::clock;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::schema::{lifecycle_events, platforms};

/// Row of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, Identifiable, AsChangeset)]
#[diesel(table_name = platforms, treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct PlatformRow {
    pub(crate) id: PlatformId,
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) status: PlatformStatus,
    pub(crate) tier: Tier,
    pub(crate) cf_account_id: Option<String>,
    pub(crate) repo_name: Option<String>,
    pub(crate) stripe_customer_id: Option<String>,
    pub(crate) owner_user_id: Option<String>,
    pub(crate) cancelled_at: Option<DateTime<Utc>>,
    pub(crate) cancellation_reason: Option<String>,
    pub(crate) suspended_at: Option<DateTime<Utc>>,
    pub(crate) suspension_reason: Option<String>,
    pub(crate) trial_ends_at: Option<DateTime<Utc>>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) deleted_at: Option<DateTime<Utc>>,
    /// End of the paid period of a cancelled platform.
    pub(crate) period_ends_at: Option<DateTime<Utc>>,
}

/// Lifecycle event of a platform.
#[derive(Debug, Clone, Serialize, ToSchema, Queryable, Selectable, Insertable)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = lifecycle_events, treat_none_as_default_value = false)]
pub(crate) struct LifecycleEvent {
    #[schema(value_type = Uuid)]
    pub(crate) id: LifecycleEventId,
    pub(crate) platform_id: PlatformId,
    #[schema(required)]
    pub(crate) from_status: Option<PlatformStatus>,
    pub(crate) to_status: PlatformStatus,
    pub(crate) triggered_by: String,
    pub(crate) trigger_type: TriggerType,
    #[schema(required)]
    pub(crate) reason: Option<String>,
    pub(crate) metadata: Value,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
}

/// Key in an event's metadata of the job in provisioning.
const PROVISION_JOB: &str = "provisionJobId";

/// Fields of a new platform.
#[derive(Debug, Clone)]
pub(crate) struct NewPlatform {
    /// Random if `None`.
    pub(crate) id: Option<PlatformId>,
    pub(crate) name: Name,
    pub(crate) slug: Slug,
    pub(crate) tier: Tier,
    pub(crate) status: PlatformStatus,
    pub(crate) cf_account_id: Option<String>,
    pub(crate) repo_name: Option<String>,
    pub(crate) owner_user_id: Option<String>,
    /// True if the quota of the tier applies to the owner.
    pub(crate) limited: bool,
}

impl NewPlatform {
    /// Returns the row.
    pub(crate) fn into_row(self) -> PlatformRow {
        let now = clock::now();
        PlatformRow {
            id: self.id.unwrap_or_else(PlatformId::random),
            name: self.name,
            slug: self.slug,
            status: self.status,
            tier: self.tier,
            cf_account_id: self.cf_account_id,
            repo_name: self.repo_name,
            stripe_customer_id: None,
            owner_user_id: self.owner_user_id,
            cancelled_at: None,
            cancellation_reason: None,
            suspended_at: None,
            suspension_reason: None,
            trial_ends_at: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            period_ends_at: None,
        }
    }
}

impl PlatformRow {
    /// Returns the platform after `event`.
    ///
    /// # Errors
    /// [`domain::Kind::InvalidTransition`].
    pub(crate) fn after(
        &self,
        event: PlatformEvent,
        reason: Option<&str>,
        cancellation_period: std::time::Duration,
    ) -> Result<Self> {
        let now = clock::now();
        let mut after = Self { status: self.status.after(event)?, updated_at: now, ..self.clone() };
        let reason = reason.map(str::to_owned);
        match event {
            PlatformEvent::Suspend => {
                after.suspended_at = Some(now);
                after.suspension_reason = reason;
            }
            PlatformEvent::Restore => {
                (after.suspended_at, after.suspension_reason) = (None, None);
                (after.cancelled_at, after.cancellation_reason, after.period_ends_at) = (None, None, None);
            }
            PlatformEvent::Cancel => {
                after.cancelled_at = Some(now);
                after.cancellation_reason = reason;
                after.period_ends_at = Some(now + cancellation_period);
            }
            PlatformEvent::Delete => after.deleted_at = Some(now),
            PlatformEvent::Bootstrap
            | PlatformEvent::Complete
            | PlatformEvent::Fail
            | PlatformEvent::PeriodEnd => {}
        }
        Ok(after)
    }

    /// Returns the platform as deleted, whatever its state.
    pub(crate) fn deleted(&self) -> Self {
        let now = clock::now();
        Self { status: PlatformStatus::Deleted, updated_at: now, deleted_at: Some(now), ..self.clone() }
    }

    /// Cursor in the list of platforms.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

impl LifecycleEvent {
    /// Returns the event that led to the current status. `from` is `None` for the creation.
    pub(crate) fn new(
        ctx: &Ctx,
        from: Option<PlatformStatus>,
        now: &PlatformRow,
        reason: Option<&str>,
    ) -> Self {
        Self {
            id: LifecycleEventId::generate(),
            platform_id: now.id.clone(),
            from_status: from,
            to_status: now.status,
            triggered_by: ctx.caller.id.clone(),
            trigger_type: match ctx.caller.actor_type {
                ActorType::Operator => TriggerType::Operator,
                ActorType::User | ActorType::Apikey => TriggerType::User,
                ActorType::Service | ActorType::System => TriggerType::System,
            },
            reason: reason.map(str::to_owned),
            metadata: json!({ "requestId": &*ctx.request_id }),
            created_at: now.updated_at,
        }
    }

    /// Adds the job that was requested with the event.
    pub(crate) fn with_job(mut self, job: JobId) -> Self {
        if let Some(metadata) = self.metadata.as_object_mut() {
            metadata.insert(PROVISION_JOB.to_owned(), json!(job));
        }
        self
    }

    /// Returns the job that was requested with the event, if any.
    pub(crate) fn job(&self) -> Option<JobId> {
        self.metadata.get(PROVISION_JOB)?.as_str()?.parse().ok()
    }

    /// Cursor in the list of events.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}
