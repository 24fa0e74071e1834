//! How a service runs.
//!
//! Everything that a service does but what it is for: configuration, telemetry, the database with its named
//! transactions, the error table, HTTP and gRPC servers that let in only what carries a signed identity, the
//! outbox, background workers, and a shutdown that drains. It is the only shared crate with frameworks in it.

pub mod backoff;
pub mod check;
pub mod clock;
pub mod config;
pub mod context;
pub mod db;
pub mod error;
pub mod fair;
pub mod grpc;
pub mod http;
pub mod identity;
pub mod outbox;
pub mod service;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod worker;

pub use context::{Ctx, WriteCtx};
pub use db::{Db, Done, Record};
pub use identity::{Caller, PlatformScope, Scope};

/// Whether this is the build in which what statements are given as the caller's scope leaves nothing out, so that
/// Postgres alone keeps callers apart: the feature `first-wall-down`, which is for one kind of test.
pub const FIRST_WALL_DOWN: bool = cfg!(feature = "first-wall-down");
