//! The rows of sagas and steps.

use chrono::{DateTime, Utc};
use diesel::{Insertable, Queryable, QueryableByName, Selectable};
pub use domain::saga::{Cause, SagaStatus, StepStatus};
use domain::{Cursor, Error, Result};
use identity::Ctx;
use runtime::clock;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Definition, WaitingFor,
    schema::{saga_steps, sagas},
};

/// A row of the table `sagas`.
#[derive(Debug, Clone, Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = sagas, treat_none_as_default_value = false)]
pub struct Saga {
    pub id: Uuid,
    pub kind: String,
    pub version: i32,
    pub subject: String,
    pub status: SagaStatus,
    pub input: Value,
    pub error: Option<String>,
    pub cause: Option<Cause>,
    #[diesel(column_name = undo_asked)]
    pub undo_requested: Option<String>,
    pub deadline: Option<DateTime<Utc>>,
    /// Set by the clock of the database, also at insertion.
    #[diesel(skip_insertion)]
    pub next_run_at: DateTime<Utc>,
    pub lease_until: Option<DateTime<Utc>>,
    pub lease_owner: Option<String>,
    pub(crate) fence: i64,
    pub request_id: String,
    pub traceparent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub paused_at: Option<DateTime<Utc>>,
    /// Increases with every visible change.
    pub revision: i64,
    /// The key by which runners are shared fairly: when more sagas are due than can run, the keys take turns.
    #[diesel(column_name = flow)]
    pub fairness_key: String,
    /// The saga whose end this one waits for.
    pub waits_for: Option<Uuid>,
}

/// A row of the table `saga_steps`.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = saga_steps, treat_none_as_default_value = false)]
pub struct StepRow {
    pub saga_id: Uuid,
    pub position: i16,
    pub name: String,
    pub status: StepStatus,
    pub attempts: i32,
    pub undo_attempts: i32,
    pub output: Option<Value>,
    pub error: Option<String>,
    pub waiting_for: Option<WaitingFor>,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    /// Set by the clock of the database.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Attempts that met an outage.
    pub(crate) outages: i32,
    pub(crate) undo_outages: i32,
}

/// The fields of a new saga.
#[derive(Debug, Clone)]
pub struct NewSaga {
    pub id: Uuid,
    pub subject: String,
    pub input: Value,
    pub deadline: Option<DateTime<Utc>>,
    /// The key by which runners are shared fairly, such as a caller or a platform; not empty.
    pub fairness_key: String,
}

impl NewSaga {
    /// Builds the rows of a saga of this definition and of its steps.
    pub fn rows<A>(self, definition: &Definition<A>, ctx: &Ctx) -> (Saga, Vec<StepRow>) {
        let now = clock::now();
        let saga = Saga {
            id: self.id,
            kind: definition.kind.to_owned(),
            version: definition.version,
            subject: self.subject,
            status: SagaStatus::Pending,
            input: self.input,
            error: None,
            cause: None,
            undo_requested: None,
            deadline: self.deadline,
            next_run_at: now,
            lease_until: None,
            lease_owner: None,
            fence: 0,
            request_id: ctx.request_id.to_string(),
            traceparent: ctx.traceparent.as_deref().map(str::to_owned),
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
            paused_at: None,
            revision: 0,
            fairness_key: self.fairness_key,
            waits_for: None,
        };
        let steps = definition
            .steps
            .iter()
            .zip(0..)
            .map(|(step, position)| StepRow::new(self.id, position, step.name()));
        (saga, steps.collect())
    }
}

impl Saga {
    /// Deserializes the input.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] when it is not a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.input.clone()).map_err(Error::internal)
    }

    /// Returns the position of the saga in a list.
    pub fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

impl StepRow {
    pub(crate) fn new(saga_id: Uuid, position: i16, name: &str) -> Self {
        Self {
            saga_id,
            position,
            name: name.to_owned(),
            status: StepStatus::Pending,
            attempts: 0,
            undo_attempts: 0,
            output: None,
            error: None,
            waiting_for: None,
            started_at: None,
            completed_at: None,
            next_attempt_at: None,
            outages: 0,
            undo_outages: 0,
        }
    }

    /// Returns true if the step is completed or skipped.
    pub fn is_done(&self) -> bool {
        matches!(self.status, StepStatus::Completed | StepStatus::Skipped)
    }

    /// Returns true if the step may have had an effect that is not undone.
    pub fn may_have_effect(&self) -> bool {
        matches!(self.status, StepStatus::InProgress | StepStatus::Completed | StepStatus::Failed)
    }
}
