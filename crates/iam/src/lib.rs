//! iam: who may do what. API keys, what people were granted, and the answers that the gateway knows callers by.
//!
//! One folder per resource, each with the same file names: `model` (rows), `store` (one function, one SQL
//! statement), `ops` (one function, one use case in one transaction) and `http`. A read goes `http|grpc -> store`,
//! a write `http|grpc -> ops -> store`. What all slices go by is in `grants` (who may grant what) and `revocations`
//! (who is told what is not to be believed any more).

mod access;
mod answer;
mod app;
mod audit;
mod bindings;
mod entities;
mod grants;
mod grpc;
mod keys;
mod revocations;
pub mod schema;

pub use app::{App, Iam, Own};
