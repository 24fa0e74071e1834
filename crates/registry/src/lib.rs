//! The registry: the catalogue of platforms and everything they own.
//!
//! One folder per type of object, each with the same file names: `model` (rows), `store` (one function per SQL
//! statement), `ops` (one function per use case, in one transaction), `http` and `grpc`. Reads go `http -> store`;
//! writes go `http|grpc -> ops -> store`.

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
mod resources;
pub mod schema;
mod secrets;
mod slices;
mod stacks;
mod subtree;
mod visibility;

pub use app::{App, Registry, RegistrySettings};
