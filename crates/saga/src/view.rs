//! The API representation of a step.

use chrono::{DateTime, Utc};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{StepRow, StepStatus};

/// The state of one step.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    pub name: String,
    pub status: StepStatus,
    /// Number of attempts, including one in progress.
    pub attempts: i32,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub started_at: Option<DateTime<Utc>>,
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
    /// The error of the last failed attempt.
    #[schema(required)]
    pub error: Option<String>,
    /// The job, stack, resources or person that the step waits for.
    #[schema(required)]
    pub waiting_for: Option<String>,
    /// The time of the next attempt.
    #[serde(with = "clock::rfc3339")]
    #[schema(required)]
    pub next_attempt_at: Option<DateTime<Utc>>,
}

impl From<&StepRow> for StepView {
    fn from(row: &StepRow) -> Self {
        Self {
            name: row.name.clone(),
            status: row.status,
            attempts: row.attempts,
            started_at: row.started_at,
            completed_at: row.completed_at,
            error: row.error.clone(),
            waiting_for: row.waiting_for.as_ref().map(ToString::to_string),
            next_attempt_at: row.next_attempt_at,
        }
    }
}
