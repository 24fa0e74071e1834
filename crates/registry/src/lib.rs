//! The registry: the catalogue of platforms and of all they own.
//!
//! One folder per resource, each with the same file names: `model` (rows), `store` (one function, one SQL
//! statement), `ops` (one function, one use case in one transaction), `http` and `grpc`. A read goes
//! `http -> store`, a write `http|grpc -> ops -> store`.

mod app;
mod audit;
mod builds;
mod delivery;
mod dns;
mod domains;
mod entities;
mod explain;
mod features;
mod grpc;
mod locate;
mod manifest;
mod parents;
mod platforms;
mod reach;
mod resources;
pub mod schema;
mod secrets;
mod slices;
mod stacks;
mod subtree;

pub use app::{App, Own, Registry};
