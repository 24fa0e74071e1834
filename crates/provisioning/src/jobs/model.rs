//! A job as it is answered.

use chrono::{DateTime, Utc};
use domain::{
    Error, PlatformId, Result,
    job::{JobStatus, JobType},
    saga::StepStatus,
};
use runtime::clock;
use saga::{Saga, StepRow, StepView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// What provisioning was asked to do, and how far it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) r#type: JobType,
    pub(crate) platform_id: PlatformId,
    pub(crate) status: JobStatus,
    pub(crate) input: Value,
    /// Why it is, or was, undone or stopped.
    #[schema(required)]
    pub(crate) error: Option<String>,
    pub(crate) steps: Vec<StepView>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) created_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    pub(crate) updated_at: DateTime<Utc>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) started_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) completed_at: Option<DateTime<Utc>>,
    /// Since when a person has it rest.
    #[serde(default, with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) paused_at: Option<DateTime<Utc>>,
}

/// The answer to a request for a job: it is recorded, and will be done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queued {
    pub(crate) job_id: Uuid,
    /// Always `QUEUED`.
    pub(crate) status: String,
}

impl Queued {
    pub(crate) fn of(job: &Job) -> Self {
        Self { job_id: job.id, status: "QUEUED".to_owned() }
    }
}

impl Job {
    /// The job that a saga is.
    pub(crate) fn of(saga: &Saga, steps: &[StepRow]) -> Result<Self> {
        Ok(Self {
            r#type: saga.kind.parse().map_err(Error::internal)?,
            platform_id: saga.subject.parse().map_err(Error::internal)?,
            id: saga.id,
            status: saga.status.into(),
            input: saga.input.clone(),
            error: saga.error.clone(),
            steps: steps.iter().map(StepView::from).collect(),
            created_at: saga.created_at,
            updated_at: saga.updated_at,
            started_at: saga.started_at,
            completed_at: saga.finished_at,
            paused_at: saga.paused_at,
        })
    }

    /// The step that is under way, or that failed.
    pub(crate) fn current_step(&self) -> Option<&StepView> {
        self.steps.iter().find(|step| {
            matches!(step.status, StepStatus::InProgress | StepStatus::Failed | StepStatus::Pending)
        })
    }
}
