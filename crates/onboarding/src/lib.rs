//! Onboarding: from a name and a slug to an active platform, in five steps that survive anything.
//!
//! A session is a saga (crate `saga`). `sessions` is how it is asked for and looked at, `steps` what it does.

mod app;
mod grpc;
mod jobs;
pub mod schema;
mod sessions;
mod steps;

pub use app::{App, Onboarding, Own};
pub use steps::outlines;
