//! Fault injection into runners, for tests.

use std::{sync::Arc, time::Duration};

use crate::{Progress, Saga, attempt::Outcome};

/// A phase of a step at which a test can inject a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepPhase {
    /// Before the engine records that the step is in progress.
    BeforeIntent,
    /// The step is recorded as in progress and has no effect yet.
    AfterIntent,
    /// The step took effect; the result is not recorded.
    AfterEffect,
    /// The result is recorded.
    AfterRecord,
}

/// The fault to inject.
#[derive(Debug, Clone)]
pub enum Fault {
    None,
    /// The step runs twice.
    RunTwice,
    /// The runner stops, as if its process had been killed.
    Crash,
    /// The attempt fails with this error.
    Fail(domain::Error),
    /// The attempt is cut off after this time and reported as timed out, even if it was done by then.
    TimeOut(Duration),
}

/// The point in a saga at which a test can inject a fault.
#[derive(Debug, Clone, Copy)]
pub struct InjectionPoint<'m> {
    /// The saga in the state that its runner holds.
    pub saga: &'m Saga,
    /// The step's name.
    pub step: &'m str,
    /// True if the step is being undone.
    pub undo: bool,
    pub phase: StepPhase,
    /// The result of the attempt, in the phases after it.
    pub result: Option<AttemptResult>,
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    Done,
    Waiting,
    Failed,
}

impl AttemptResult {
    pub(crate) const fn from_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Ok(Some(Progress::Done(_) | Progress::Skipped) | None) => Self::Done,
            Ok(Some(Progress::Waiting(_))) => Self::Waiting,
            Err(_) => Self::Failed,
        }
    }
}

/// Chooses the fault to inject at a point.
pub type FaultInjector = Arc<dyn Fn(InjectionPoint<'_>) -> Fault + Send + Sync>;
