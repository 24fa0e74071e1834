//! Where tests interfere with runners.

use std::{sync::Arc, time::Duration};

use crate::{Progress, Saga, attempt::Outcome};

/// Where in a step a test may interfere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before the step is recorded as begun.
    BeforeIntent,
    /// Recorded as begun, no effect yet.
    AfterIntent,
    /// The effect is there, not recorded.
    AfterEffect,
    /// The effect is recorded.
    AfterRecord,
}

/// What a test makes of a point.
#[derive(Debug, Clone)]
pub enum Verdict {
    Go,
    /// Do the effect twice.
    Twice,
    /// The runner is gone, as if its process had been killed.
    Die,
    /// The effect fails with this.
    Fail(domain::Error),
    /// The effect is cut off after this long, and no answer comes of it even if it was done by then.
    TimeOut(Duration),
}

/// When a test may interfere.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'m> {
    /// The saga as its runner has it.
    pub saga: &'m Saga,
    /// The step's name.
    pub step: &'m str,
    /// Whether the step is being undone.
    pub undo: bool,
    pub point: Point,
    /// What came of the try, at the points after it.
    pub tried: Option<Tried>,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    Done,
    Waits,
    Failed,
}

impl Tried {
    pub(crate) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(Some(Progress::Done(_) | Progress::Skipped) | None) => Self::Done,
            Ok(Some(Progress::Waiting(_))) => Self::Waits,
            Err(_) => Self::Failed,
        }
    }
}

/// Interferes, in tests.
pub type Interpose = Arc<dyn Fn(Moment<'_>) -> Verdict + Send + Sync>;
