//! The causes for which steps wait.

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

use crate::store::storable;

/// The cause for which a step waits, stored as JSON. People read it as a sentence: see [`fmt::Display`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[diesel(sql_type = Jsonb)]
pub enum WaitingFor {
    /// A person, who retries or discards the saga: the tries of the step are used up.
    Person,
    /// A saga of this service, which has what the step needs.
    Saga {
        /// The name of such a saga for people, such as `job`.
        noun: Cow<'static, str>,
        saga: Uuid,
        /// What both need.
        works_on: String,
    },
    /// A job of provisioning that had not ended when the step asked.
    Job {
        job: Uuid,
        /// The step at which it is, and why it is not done.
        at: String,
    },
    /// A stack, which a job of provisioning brings to another status; none where the job is not known, or has ended.
    Stack { stack: String, status: String, job: Option<Uuid> },
    /// Resources that are not active.
    Resources { names: Vec<String> },
    /// Anything else, in words.
    Text { text: String },
}

impl WaitingFor {
    /// A cause that has no type of its own.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The saga of this service.
    pub const fn saga(&self) -> Option<Uuid> {
        match self {
            Self::Saga { saga, .. } => Some(*saga),
            _ => None,
        }
    }

    /// The job of provisioning.
    pub const fn job(&self) -> Option<Uuid> {
        match self {
            Self::Job { job, .. } => Some(*job),
            Self::Stack { job, .. } => *job,
            _ => None,
        }
    }

    /// The same without characters that PostgreSQL cannot store; texts of others may have them.
    pub(crate) fn storable(self) -> Self {
        match self {
            Self::Person => Self::Person,
            Self::Saga { noun, saga, works_on } => Self::Saga { noun, saga, works_on: storable(&works_on) },
            Self::Job { job, at } => Self::Job { job, at: storable(&at) },
            Self::Stack { stack, status, job } => {
                Self::Stack { stack: storable(&stack), status: storable(&status), job }
            }
            Self::Resources { names } => {
                Self::Resources { names: names.iter().map(|name| storable(name)).collect() }
            }
            Self::Text { text } => Self::text(storable(&text)),
        }
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("a person: its tries are used up"),
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
        // A cause that only a newer version knows must not keep the saga from being read.
        Ok(Self::deserialize(&value).unwrap_or_else(|_| Self::text(value.to_string())))
    }
}

/// A wait of a step: the cause, and the time after which the step is asked again in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub on: WaitingFor,
    pub ask_again: Duration,
    /// A saga of this service whose end, or pause, has the step asked again at once, provided that no other step of
    /// its own saga runs meanwhile.
    pub behind: Option<Uuid>,
}

impl Wait {
    /// A wait that ends with `ask_again`.
    pub const fn new(on: WaitingFor, ask_again: Duration) -> Self {
        Self { on, ask_again, behind: None }
    }
}
