//! Provisioning: the only service that calls a provider.
//!
//! A job is a saga (crate `saga`): it is recorded before any step runs, its steps are retried and undone in reverse,
//! and another replica takes it over if its process dies. `steps` defines the steps of each job type, `providers`
//! implements the infrastructure, `jobs` is the API of jobs, and `domains` verifies custom domains.

mod app;
mod domains;
mod grpc;
mod jobs;
pub mod providers;
mod repository;
mod steps;

pub use app::{App, Provisioning, ProvisioningSettings};
pub use domains::DomainSettings;
pub use steps::outlines;
