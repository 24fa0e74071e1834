//! Lifecycle of feature activations and stacks.
//!
//! Each is a state and the events that change it: [`Activation::apply`] and [`Stack::apply`] return the state after an
//! event. [`Stack::plan`] compares what a stack runs with a release, and [`CurrentActivations::switch`] brings the
//! activations of its tenant to that release. Every function here is pure: the caller passes the time and the ids,
//! loads the states before and stores them afterwards.
//!
//! The tests check three properties for random sequences of events:
//!
//! - An event that is applied twice changes nothing the second time.
//! - A report about a job that is not the last one requested changes nothing.
//! - After a switch to a release, the plan for the same release is empty. A failed job changes nothing that runs.

mod activation;
mod current;
mod feature_status;
mod plan;
mod release;
mod stack;
mod stack_status;
#[cfg(test)]
mod tests;

pub use activation::{
    Activation, ActivationEvent, ActivationKey, ActivationRequest, FeatureJobEnd, FeatureJobKind,
    FeatureSource, RunningFeature,
};
pub use current::{ActivationChange, CurrentActivations, ServiceVersions};
pub use feature_status::{FeatureStatus, FeatureTransition};
pub use plan::{Plan, PlanItem, PlanItemKind};
pub use release::{PlannedFeature, Release, ReleaseFeature};
pub use stack::{
    Inputs, JobEffect, NewStack, Replaced, Stack, StackEvent, StackTemplate, Target, VersionWithInputs,
};
pub use stack_status::{StackStatus, StackTransition};
