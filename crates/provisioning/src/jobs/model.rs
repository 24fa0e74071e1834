//! API representation of a job.

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

/// Request to provisioning, with its progress.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) r#type: JobType,
    pub(crate) platform_id: PlatformId,
    pub(crate) status: JobStatus,
    pub(crate) input: Value,
    /// Reason why the job is or was undone or stopped.
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
    /// Time at which an operator paused the job.
    #[serde(default, with = "clock::rfc3339")]
    #[schema(required)]
    pub(crate) paused_at: Option<DateTime<Utc>>,
}

/// Response to a request for a job: the job is recorded and will run.
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
    /// Converts a saga to a job.
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

    /// Returns the step that is running, failed or next.
    pub(crate) fn current_step(&self) -> Option<&StepView> {
        self.steps.iter().find(|step| {
            matches!(step.status, StepStatus::InProgress | StepStatus::Failed | StepStatus::Pending)
        })
    }
}
