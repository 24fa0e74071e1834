//! Durable work in steps.
//!
//! A saga is a row, and each of its steps is a row, written before the step has any effect. A step's output is
//! stored before the next begins. A step that fails for now is tried again with growing pauses; one that fails for
//! good has the saga undone, step by step, in reverse. A runner holds a saga under a lease with a fencing number:
//! when it dies, another takes over, and when it was only asleep, its late writes are refused.
//!
//! What this asks of a step: doing it again, or undoing it again, at any point changes nothing more.

mod definition;
mod drive;
mod model;
mod runner;
pub mod schema;
mod store;

use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub use definition::{Definition, OnFailure, Policy, Progress, Step, StepCx};
pub use model::{Cause, NewSaga, Saga, SagaStatus, StepRow, StepStatus};
pub use runner::{Engine, EngineSettings, Interpose, Point, Verdict};
pub use store::{
    Told, ask_undo, by_id, insert, insert_steps, page, retry, steps_of, tombstone,
};

/// The tables of sagas, for the migrations of a service that has some.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");
