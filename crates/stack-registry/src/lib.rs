//! The stack registry: the versioned catalogue of stack templates.
//!
//! Each object has a folder with the same file names: `model` (rows), `store` (one function, one SQL statement), `ops`
//! (one function, one use case in one transaction) and `http`. A read goes `http|grpc -> store`, a write
//! `http -> ops -> store`.

mod app;
mod grpc;
mod response;
pub mod schema;
mod schemas;
mod templates;
mod versions;

pub use app::{App, StackRegistry, StackRegistrySettings};
