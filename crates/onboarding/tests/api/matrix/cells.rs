//! The cells of the matrix, derived from the outlines, so that a new step gets its cells.

use std::fmt;

use ::saga::{OnFailure, Outline};

/// The time of the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    BeforeIntent,
    AfterIntent,
    /// The attempt took too long; the step may have taken effect.
    TimedOut,
    /// The step took effect; the result is not recorded.
    Unrecorded,
    /// The result is recorded; the runner does not get the confirmation.
    Unacknowledged,
}

/// The type of the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The runner stops, as if its process had been killed.
    ProcessKilled,
    /// Every connection to the database of the service is dropped.
    DatabaseDropped,
    /// The provider fails, hangs or loses its responses, for one platform.
    ProviderOutage,
}

/// The course of the saga after the failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// The step runs twice, and the saga completes.
    RunTwice,
    /// The saga fails permanently or is cancelled, and the step is undone twice. In a saga that stops instead of being
    /// undone, the step fails once, is retried and runs twice.
    UndoTwice,
    /// Like `UndoTwice`, and the undo fails once before its effect and once after it, if possible by the same failure. In
    /// a saga that stops, the step fails twice.
    UndoFails,
}

const TIMINGS: [Timing; 5] =
    [Timing::BeforeIntent, Timing::AfterIntent, Timing::TimedOut, Timing::Unrecorded, Timing::Unacknowledged];
const KINDS: [FailureKind; 3] =
    [FailureKind::ProcessKilled, FailureKind::DatabaseDropped, FailureKind::ProviderOutage];
const AFTERMATHS: [Aftermath; 3] = [Aftermath::RunTwice, Aftermath::UndoTwice, Aftermath::UndoFails];

/// A failure of a step: its time and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) timing: Timing,
    pub(crate) kind: FailureKind,
}

/// The failures of one saga: in each step, or in one step only.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) outline: Outline,
    pub(crate) aftermath: Aftermath,
    /// The failures by the position of the step.
    pub(crate) failures: Vec<Option<Failure>>,
    /// True if the saga is cancelled together with the failure, so that an unrecorded effect has to be undone.
    pub(crate) cancels: bool,
}

impl Failure {
    /// Returns true if the step is recorded as done at the time of the failure, and does not run again.
    pub(crate) fn leaves_step_done(self) -> bool {
        let rewritten = self.timing == Timing::Unrecorded && self.kind == FailureKind::DatabaseDropped;
        rewritten || self.timing == Timing::Unacknowledged
    }
}

impl Plan {
    /// The smallest set of sagas that covers all cells of a kind. As in a Latin square, each step has a different failure
    /// in each saga.
    pub(crate) fn all(outline: &Outline) -> Vec<Self> {
        let sagas = |aftermath| {
            (0..TIMINGS.len() * KINDS.len()).map(move |saga| {
                // The numbers of times and types have no common divisor, so one index can select both.
                let failure = |step| Failure {
                    timing: TIMINGS[(saga + step) % TIMINGS.len()],
                    kind: KINDS[(saga + step) % KINDS.len()],
                };
                let failures = (0..outline.steps.len()).map(|step| Some(failure(step))).collect();
                Self { outline: outline.clone(), aftermath, failures, cancels: false }
            })
        };
        AFTERMATHS.into_iter().flat_map(sagas).collect()
    }

    /// Sagas that are cancelled in the failing step, which may have taken effect. In the sagas of [`Plan::all`], a step
    /// is done before it is undone. Kinds that are never undone are omitted.
    pub(crate) fn cancelling(outline: &Outline) -> Vec<Self> {
        let steps = if outline.on_failure == OnFailure::Undo { outline.steps.len() } else { 0 };
        let cancelling = |step: usize, timing| {
            let mut failures = vec![None; steps];
            failures[step] = Some(Failure { timing, kind: FailureKind::ProcessKilled });
            Self { outline: outline.clone(), aftermath: Aftermath::UndoTwice, failures, cancels: true }
        };
        let times = [Timing::AfterIntent, Timing::TimedOut, Timing::Unrecorded];
        (0..steps).flat_map(|step| times.map(|timing| cancelling(step, timing))).collect()
    }

    /// The same cells in one saga each, to find the one that fails.
    pub(crate) fn each(&self) -> Vec<Self> {
        let only = |at| {
            let mut alone = self.clone();
            alone
                .failures
                .iter_mut()
                .enumerate()
                .for_each(|(other, failure)| *failure = failure.filter(|_| at == other));
            alone
        };
        (0..self.failures.len()).map(only).collect()
    }

    pub(crate) fn cells(&self) -> usize {
        self.failures.iter().flatten().count()
    }

    /// Returns true if the saga stops on a failure instead of being undone.
    pub(crate) fn stops(&self) -> bool {
        self.outline.on_failure == OnFailure::Stop
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}, {:?}:", self.outline.kind, self.outline.version, self.aftermath)?;
        if self.cancels {
            write!(f, " cancelled at")?;
        }
        for (step, failure) in self.outline.steps.iter().zip(&self.failures) {
            if let Some(Failure { timing, kind }) = failure {
                write!(f, " {step} {timing:?} {kind:?};")?;
            }
        }
        Ok(())
    }
}
