//! Provisioning: the only service that touches a provider.
//!
//! A job is a saga (crate `saga`): recorded before any of its steps runs, retried, taken over, undone in reverse.
//! `steps` says what each type of job consists of, `providers` how things are made, `jobs` how jobs are asked for
//! and looked at. `domains` checks where customers' own host names lead.

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
