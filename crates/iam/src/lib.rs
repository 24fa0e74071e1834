//! iam: access management. It owns API keys and role bindings, and resolves callers for the gateway.
//!
//! Each object has a folder with the same file names: `model` (rows), `view` (API representation), `store` (one
//! function, one SQL statement), `ops` (one function, one use case in one transaction) and `http`. A read goes
//! `http|grpc -> store`, a write `http|grpc -> ops -> store`. All folders share `grants` (authorization of grants) and
//! `revocations` (invalidation of the gateways' caches).

mod access;
mod app;
mod audit;
mod bindings;
mod entities;
mod grants;
mod grpc;
mod keys;
mod response;
mod revocations;
pub mod schema;

pub use app::{App, Iam, IamSettings};
