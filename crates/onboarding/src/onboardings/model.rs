//! The rows of onboardings and their API representation.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, Selectable};
use domain::{
    Name, PlatformId, Slug,
    onboarding::SessionStatus,
    platform::Tier,
    saga::{Cause, SagaStatus, StepStatus},
};
use runtime::clock;
use saga::{Saga, StepRow, StepView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::schema::sessions;

/// A row of the table `sessions`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions, treat_none_as_default_value = false)]
pub(crate) struct OnboardingRow {
    pub(crate) id: Uuid,
    pub(crate) platform_id: PlatformId,
    pub(crate) user_id: String,
    pub(crate) platform_name: Name,
    pub(crate) slug: Slug,
    pub(crate) tier: Tier,
    pub(crate) stack_template_id: Option<String>,
    pub(crate) provision_job_id: Uuid,
    pub(crate) metadata: Value,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// An onboarding and its progress.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub(crate) struct OnboardingView {
    pub(crate) id: Uuid,
    pub(crate) platform_id: PlatformId,
    pub(crate) user_id: String,
    pub(crate) status: SessionStatus,
    pub(crate) steps: Vec<StepView>,
    #[schema(required)]
    pub(crate) current_step: Option<String>,
    pub(crate) metadata: Value,
    #[schema(required)]
    pub(crate) stack_template_id: Option<String>,
    pub(crate) tier: Tier,
    #[schema(required)]
    pub(crate) provision_job_id: Option<Uuid>,
    /// The reason why the onboarding is, or was, undone.
    #[schema(required)]
    pub(crate) error: Option<String>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) started_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) completed_at: Option<DateTime<Utc>>,
    /// The time at which an operator paused the onboarding.
    #[serde(default, with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) paused_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) expires_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
}

/// The response to a new onboarding.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Started)]
pub(crate) struct StartedOnboarding {
    pub(crate) onboarding_id: Uuid,
    #[schema(required)]
    pub(crate) job_id: Option<Uuid>,
    pub(crate) status: SessionStatus,
    pub(crate) steps: Vec<StepView>,
}

/// The input of the saga.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OnboardingInput {
    pub(crate) platform_id: PlatformId,
    pub(crate) platform_name: Name,
    pub(crate) slug: Slug,
    pub(crate) tier: Tier,
    pub(crate) user_id: String,
    pub(crate) stack_template_id: Option<String>,
    pub(crate) provision_job_id: Uuid,
    pub(crate) build_id: Uuid,
    /// True if the quota applies to the caller. False for onboardings from before the quota was introduced.
    #[serde(default)]
    pub(crate) limited: bool,
}

/// The status of the onboarding. It is in progress while the saga is being undone or is stuck.
pub(super) fn status(saga: &Saga) -> SessionStatus {
    match (saga.status, saga.cause) {
        (SagaStatus::Completed, _) => SessionStatus::Completed,
        (SagaStatus::Undone, Some(Cause::Cancelled)) => SessionStatus::Cancelled,
        (SagaStatus::Undone, _) => SessionStatus::Failed,
        _ => SessionStatus::InProgress,
    }
}

impl OnboardingView {
    pub(crate) fn new(row: OnboardingRow, saga: &Saga, steps: &[StepRow]) -> Self {
        let status = status(saga);
        let under_way = |step: &&StepRow| !matches!(step.status, StepStatus::Completed | StepStatus::Skipped);
        let undone = |step: &&StepRow| step.may_have_effect();
        let current = match saga.status {
            SagaStatus::Undoing => steps.iter().rev().find(undone),
            _ if status == SessionStatus::InProgress => steps.iter().find(under_way),
            _ => None,
        };
        Self {
            id: row.id,
            platform_id: row.platform_id,
            user_id: row.user_id,
            status,
            steps: steps.iter().map(StepView::from).collect(),
            current_step: current.map(|step| step.name.clone()),
            metadata: row.metadata,
            stack_template_id: row.stack_template_id,
            tier: row.tier,
            provision_job_id: Some(row.provision_job_id),
            error: saga.error.clone(),
            started_at: saga.started_at.unwrap_or(saga.created_at),
            completed_at: saga.finished_at,
            paused_at: saga.paused_at,
            expires_at: Some(row.expires_at),
            created_at: row.created_at,
            updated_at: row.updated_at.max(saga.updated_at),
        }
    }
}
