//! The stack registry: the versioned catalogue of what stacks can be made of.
//!
//! One folder per resource, each with the same file names: `model` (rows), `store` (one function, one SQL
//! statement), `ops` (one function, one use case in one transaction) and `http`. A read goes `http|grpc -> store`,
//! a write `http -> ops -> store`.

mod answer;
mod app;
mod grpc;
pub mod schema;
mod schemas;
mod templates;
mod versions;

pub use app::{App, Own, StackRegistry};
