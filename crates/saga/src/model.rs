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

/// Durable work in steps.
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
    pub undo_asked: Option<String>,
    pub deadline: Option<DateTime<Utc>>,
    /// By the clock of the database, which also sets it when the saga is inserted.
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
    /// Grows with every change that a person can see.
    pub revision: i64,
    /// Whose it is, when there is more to do than can be done: flows take turns.
    pub flow: String,
    /// The saga whose end it waits for.
    pub waits_for: Option<Uuid>,
}

/// One step of a saga.
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
    /// By the clock of the database.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Tries that met an outage.
    pub(crate) outages: i32,
    pub(crate) undo_outages: i32,
}

/// What a new saga is made of.
#[derive(Debug, Clone)]
pub struct NewSaga {
    pub id: Uuid,
    pub subject: String,
    pub input: Value,
    pub deadline: Option<DateTime<Utc>>,
    /// Whose it is, such as a caller or a platform; not empty.
    pub flow: String,
}

impl NewSaga {
    /// The rows of a saga of this definition and its steps.
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
            undo_asked: None,
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
            flow: self.flow,
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
    /// The input as the type that its kind has.
    ///
    /// # Errors
    /// [`domain::Kind::Internal`] when it is another.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.input.clone()).map_err(Error::internal)
    }

    /// Where it stands in a list.
    pub fn place(&self) -> Cursor {
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

    /// Whether there is nothing left to do of it, going forth.
    pub fn is_done(&self) -> bool {
        matches!(self.status, StepStatus::Completed | StepStatus::Skipped)
    }

    /// Whether the step may have had an effect that is not undone.
    pub fn may_have_effect(&self) -> bool {
        matches!(self.status, StepStatus::InProgress | StepStatus::Completed | StepStatus::Failed)
    }
}
