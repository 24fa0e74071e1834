//! Durable work in steps.
//!
//! A saga is a row, and each of its steps is a row, written before the step has any effect. A step's output is
//! stored before the next begins. A step that fails for now is tried again with growing pauses; one that fails for
//! good has the saga undone, step by step, in reverse. A runner holds a saga under a lease with a fencing number:
//! when it dies, another takes over, and when it was only asleep, its late writes are refused.
//!
//! What this asks of a step: doing it again, or undoing it again, at any point changes nothing more. A step that is
//! cut off (by its timeout, a stop of the process, or the loss of its lease) may still reach the other side later, so
//! what it calls must refuse what comes after its undoing: see [`tombstone`].

pub mod api;
mod attempt;
mod connection;
mod definition;
mod drive;
mod due;
mod explain;
mod follow;
mod hooks;
mod interpose;
mod key;
mod lease;
mod model;
mod outcome;
mod runner;
pub mod schema;
mod steer;
mod store;
mod view;
mod waiting;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub use definition::{Definition, OnFailure, Outline, Policy, Progress, Step, StepCx};
pub use follow::Followers;
pub use hooks::Hooks;
pub use interpose::{Interpose, Moment, Point, Tried, Verdict};
pub use key::{AnyStep, StepKey, StepName};
pub use model::{Cause, NewSaga, Saga, SagaStatus, StepRow, StepStatus};
pub use runner::{Engine, EngineSettings};
pub use steer::{Cancel, Discard, Pause, Resume, Retry, Steered, Verb, steer};
pub use store::{
    Filter, ID_TAKEN, Told, ask_undo, awaited_jobs, by_id, count, discard, insert, insert_steps, job_ended,
    of_flow, page, pause, resume, retry, steps_of, tombstone, touch,
};
pub use view::StepView;
pub use waiting::{Wait, WaitingFor};

/// The tables of sagas, for the migrations of a service that has some.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
