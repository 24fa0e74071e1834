//! A durable saga engine on PostgreSQL.
//!
//! A saga is a row, and each of its steps is a row that is written before the step has any effect. The engine stores a
//! step's output before it starts the next step. It retries a step with exponential backoff after a transient failure,
//! and compensates the saga, step by step in reverse, after a permanent one. A runner holds a saga under a lease with a
//! fencing token. If the runner dies, another takes over; if it was only suspended, its late writes are rejected.
//!
//! A step must be idempotent: running or undoing it again, at any point, changes nothing more. A step that is cut off
//! (by its timeout, a stop of the process or the loss of its lease) may still reach the other service later, so the
//! service it calls must reject requests that arrive after the undo: see [`tombstone`].

pub mod api;
mod attempt;
mod connection;
mod definition;
mod direction;
mod driver;
mod due;
mod explain;
mod fault_injection;
mod follow;
mod hooks;
mod key;
mod lease;
mod model;
mod operations;
mod runner;
pub mod schema;
mod store;
mod view;
mod waiting;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub use definition::{Definition, OnFailure, Outline, Policy, Progress, Step, StepCx};
pub use fault_injection::{AttemptResult, Fault, FaultInjector, InjectionPoint, StepPhase};
pub use follow::Followers;
pub use hooks::Hooks;
pub use key::{AnyStep, StepKey, StepName};
pub use model::{Cause, NewSaga, Saga, SagaStatus, StepRow, StepStatus};
pub use operations::{Cancel, Discard, Operation, Pause, Resume, Retry, Supports, apply_operation};
pub use runner::{Engine, EngineSettings};
pub use store::{
    Filter, ID_TAKEN, SagaWithSteps, awaited_jobs, bump_revision, by_fairness_key, by_id, count, discard,
    insert, insert_steps, page, pause, request_undo, resume, retry, steps_of, tombstone, wake_job_waiters,
};
pub use view::StepView;
pub use waiting::{Wait, WaitingFor};

/// The migrations of the saga tables, for services that run sagas.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
