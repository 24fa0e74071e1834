//! Onboarding: a durable saga of five steps from a name and a slug to an active platform.
//!
//! An onboarding is a saga (crate `saga`). The module `onboardings` is its API, and `steps` defines its steps.

mod app;
mod grpc;
mod jobs;
mod onboardings;
pub mod schema;
mod steps;

pub use app::{App, Onboarding, OnboardingSettings};
pub use steps::outlines;
