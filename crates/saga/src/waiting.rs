//! The causes that steps wait for.

use std::{borrow::Cow, fmt, time::Duration};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, Output, ToSql},
    sql_types::Jsonb,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::store::replace_nul;

/// The cause that a step waits for, stored as JSON. [`fmt::Display`] renders it as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[diesel(sql_type = Jsonb)]
pub enum WaitingFor {
    /// An operator, who retries or discards the saga: all attempts of the step have failed.
    Person,
    /// A saga of this service that works on what the step needs.
    Saga {
        /// The public name of such a saga, such as `job`.
        noun: Cow<'static, str>,
        saga: Uuid,
        /// The object that both sagas need.
        works_on: String,
    },
    /// A provisioning job that was in progress when the step last checked.
    Job {
        job: Uuid,
        /// The current step of the job, and the reason why it is not done.
        at: String,
    },
    /// A stack whose status a provisioning job changes. `job` is `None` if it is unknown or has ended.
    Stack { stack: String, status: String, job: Option<Uuid> },
    /// Resources that are not active.
    Resources { names: Vec<String> },
    /// Any other cause, as text.
    Text { text: String },
}

impl WaitingFor {
    /// Creates a cause that has no variant of its own.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// Returns the saga of this service that the step waits for.
    pub const fn saga(&self) -> Option<Uuid> {
        match self {
            Self::Saga { saga, .. } => Some(*saga),
            _ => None,
        }
    }

    /// Returns the provisioning job that the step waits for.
    pub const fn job(&self) -> Option<Uuid> {
        match self {
            Self::Job { job, .. } => Some(*job),
            Self::Stack { job, .. } => *job,
            _ => None,
        }
    }

    /// Replaces NUL characters, which PostgreSQL cannot store, in texts from other services.
    pub(crate) fn replace_nul(self) -> Self {
        match self {
            Self::Person => Self::Person,
            Self::Saga { noun, saga, works_on } => {
                Self::Saga { noun, saga, works_on: replace_nul(&works_on) }
            }
            Self::Job { job, at } => Self::Job { job, at: replace_nul(&at) },
            Self::Stack { stack, status, job } => {
                Self::Stack { stack: replace_nul(&stack), status: replace_nul(&status), job }
            }
            Self::Resources { names } => {
                Self::Resources { names: names.iter().map(|name| replace_nul(name)).collect() }
            }
            Self::Text { text } => Self::text(replace_nul(&text)),
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("an operator: all attempts failed"),
            Self::Saga { noun, saga, works_on } => write!(f, "{noun} {saga}, which works on {works_on}"),
            Self::Job { job, at } => write!(f, "provisioning job {job}: {at}"),
            Self::Stack { stack, status, job } => {
                let job = job.map(|job| job.to_string()).unwrap_or_default();
                write!(f, "stack {stack}, which is {status} (provisioning job {job})")
            }
            Self::Resources { names } => write!(f, "resources {}", names.join(", ")),
            Self::Text { text } => f.write_str(text),
        }
    }
}

impl ToSql<Jsonb, Pg> for WaitingFor {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let value = serde_json::to_value(self)?;
        <Value as ToSql<Jsonb, Pg>>::to_sql(&value, &mut out.reborrow())
    }
}

impl FromSql<Jsonb, Pg> for WaitingFor {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        let value: Value = FromSql::<Jsonb, Pg>::from_sql(bytes)?;
        // The saga must stay readable if a newer version stored a cause that this version does not know.
        Ok(Self::deserialize(&value).unwrap_or_else(|_| Self::text(value.to_string())))
    }
}

/// A step's cause for waiting, and the time after which the engine runs the step again in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub on: WaitingFor,
    pub retry_after: Duration,
    /// A saga of this service. Its end or pause makes the engine run the step again at once, provided that no other
    /// step of the waiting saga is running.
    pub blocked_by: Option<Uuid>,
}

impl Wait {
    /// Creates a wait that ends after `retry_after`.
    pub const fn new(on: WaitingFor, retry_after: Duration) -> Self {
        Self { on, retry_after, blocked_by: None }
    }
}
