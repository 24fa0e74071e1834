//! The direction of a saga, and the effect of an attempt's outcome on its step.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::Error;
use runtime::clock;
use tokio::time::Instant;

use crate::{
    AnyStep, Cause, Definition, OnFailure, Policy, Progress, Saga, SagaStatus, StepRow, StepStatus, Wait,
    WaitingFor,
    attempt::{Outcome, is_outage, pause_after, public_error, storable_output, will_retry},
    driver::Driver,
};

/// Lower limit of pauses, so that waiting sagas do not load the database.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Upper limit of pauses, which keeps dates within their range.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The direction in which a saga runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Compensate,
}

impl Direction {
    pub(crate) fn for_saga(saga: &Saga) -> Self {
        if saga.status == SagaStatus::Undoing { Self::Compensate } else { Self::Forward }
    }

    /// The status of a saga that has nothing left to do.
    pub(crate) const fn end(self) -> SagaStatus {
        match self {
            Self::Forward => SagaStatus::Completed,
            Self::Compensate => SagaStatus::Undone,
        }
    }

    /// Returns true if there is work left to do for the step.
    pub(crate) fn is_open<A>(self, row: &StepRow, step: &dyn AnyStep<A>) -> bool {
        match self {
            Self::Forward => !row.is_done(),
            Self::Compensate => {
                row.may_have_effect() || (row.status == StepStatus::Pending && step.undo_if_not_started())
            }
        }
    }

    /// Returns true if step `other` has to be finished before step `at`.
    pub(crate) fn blocks<A>(self, definition: &Definition<A>, other: usize, at: usize) -> bool {
        match self {
            Self::Forward => definition.needs(at, other),
            Self::Compensate => definition.needs(other, at),
        }
    }

    /// Returns true if there is a pause before the next attempt of the step.
    pub(crate) fn has_pause(self, row: &StepRow) -> bool {
        // A pause of the run does not apply to the undo.
        row.next_attempt_at.is_some() && (self == Self::Forward || row.undo_attempts > 0)
    }

    /// Records the start of an attempt in the row.
    pub(crate) fn start_attempt(self, row: &mut StepRow) {
        row.next_attempt_at = None;
        match self {
            Self::Forward => {
                // Running a waiting step again is no new attempt.
                row.attempts += i32::from(row.waiting_for.is_none());
                row.status = StepStatus::InProgress;
                row.started_at = row.started_at.or_else(|| Some(clock::now()));
            }
            Self::Compensate => {
                if row.undo_attempts == 0 {
                    // A wait of the run does not apply to the undo.
                    row.waiting_for = None;
                }
                row.undo_attempts += i32::from(row.waiting_for.is_none());
            }
        }
    }
}

/// The time until the saga's deadline, if it has one.
pub(crate) fn deadline_left(saga: &Saga) -> Option<Duration> {
    let left = |deadline: DateTime<Utc>| (deadline - clock::now()).to_std().unwrap_or_default();
    saga.deadline.map(left)
}

/// Starts the compensation of the saga.
pub(crate) fn start_undo(saga: &mut Saga, cause: Cause, why: String) {
    tracing::info!(cause = cause.as_str(), why, "undoing the saga");
    saga.status = SagaStatus::Undoing;
    saga.cause = Some(cause);
    saga.error = Some(why);
}

impl StepRow {
    /// The reason of the failure, for the saga's row.
    pub(crate) fn failure_reason(&self) -> String {
        format!("{}: {}", self.name, self.error.as_deref().unwrap_or_default())
    }

    /// The number of attempts that met no outage.
    pub(crate) fn counted_attempts(&self) -> i32 {
        self.attempts - self.outages
    }

    /// The number of attempts in this direction.
    pub(crate) fn attempts(&self, direction: Direction) -> i32 {
        match direction {
            Direction::Forward => self.attempts,
            Direction::Compensate => self.undo_attempts,
        }
    }

    fn set_failed(&mut self, error: &Error, direction: Direction) {
        let outages = match direction {
            Direction::Forward => &mut self.outages,
            Direction::Compensate => &mut self.undo_outages,
        };
        *outages += i32::from(is_outage(error));
        let (step, attempt, context) = (self.name.as_str(), self.attempts(direction), error.log_context());
        tracing::warn!(step, ?direction, attempt, error = error.message(), context, "step failed");
        self.error = Some(public_error(error));
        self.waiting_for = None;
    }

    /// Returns true if only an operator can retry the step.
    pub(crate) fn is_stuck(&self) -> bool {
        self.waiting_for == Some(WaitingFor::Person)
    }

    fn set_done(&mut self, status: StepStatus) {
        self.status = status;
        self.completed_at = Some(clock::now());
        (self.error, self.waiting_for) = (None, None);
    }
}

impl<A: Send + Sync + 'static> Driver<A> {
    /// Applies the outcome of an attempt to step `at`.
    pub(crate) fn record(
        &mut self,
        on_failure: OnFailure,
        step: &dyn AnyStep<A>,
        at: usize,
        outcome: Outcome,
    ) {
        let left = deadline_left(&self.saga)
            .filter(|_| self.direction == Direction::Forward)
            .unwrap_or(LONGEST_PAUSE);
        if let Ok(Some(Progress::Waiting(Wait { blocked_by: Some(saga), .. }))) = &outcome {
            self.waits_for = Some(*saga);
        }
        let Some(row) = self.steps.get_mut(at) else { return };
        let pause = match self.direction {
            Direction::Forward => record_run(row, step.policy(), outcome),
            Direction::Compensate => record_undo(row, step.policy(), outcome),
        };
        if let Some(pause) = pause {
            // The saga must also act at its deadline.
            let pause = pause.min(left).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            // The write replaces this time by one of the database's clock.
            row.next_attempt_at = Some(clock::now() + TimeDelta::from_std(pause).unwrap_or_default());
            self.due.insert(at, Instant::now() + pause);
        } else if row.status == StepStatus::Failed && self.direction == Direction::Forward {
            match on_failure {
                OnFailure::Stop => row.waiting_for = Some(WaitingFor::Person),
                // If several steps fail, the first failure is the cause.
                OnFailure::Undo if self.saga.cause.is_none() => {
                    let why = row.failure_reason();
                    start_undo(&mut self.saga, Cause::Failed, why);
                }
                OnFailure::Undo => {}
            }
        }
    }
}

/// Applies the outcome of a run. Returns the pause before the next attempt, if there is one.
fn record_run(row: &mut StepRow, policy: Policy, outcome: Outcome) -> Option<Duration> {
    match outcome.and_then(storable_output) {
        Ok(Some(Progress::Waiting(Wait { on, retry_after, .. }))) => {
            row.waiting_for = Some(on.replace_nul());
            row.error = None;
            Some(retry_after)
        }
        Ok(Some(Progress::Done(output))) => {
            row.output = Some(output);
            row.set_done(StepStatus::Completed);
            None
        }
        Ok(Some(Progress::Skipped) | None) => {
            row.set_done(StepStatus::Skipped);
            None
        }
        Err(error) => {
            row.set_failed(&error, Direction::Forward);
            if will_retry(&error, row.counted_attempts(), policy) {
                return Some(pause_after(policy, row.attempts, &error));
            }
            row.status = StepStatus::Failed;
            None
        }
    }
}

/// Applies the outcome of an undo. Returns the pause before the next attempt, if there is one.
fn record_undo(row: &mut StepRow, policy: Policy, outcome: Outcome) -> Option<Duration> {
    let error = match outcome {
        Ok(Some(Progress::Waiting(Wait { on, retry_after, .. }))) => {
            row.waiting_for = Some(on.replace_nul());
            return Some(retry_after);
        }
        Ok(_) => {
            // For a step that had not failed, the error is that of an earlier attempt to undo it.
            row.error = row.error.take().filter(|_| row.status != StepStatus::Completed);
            row.waiting_for = None;
            row.status = StepStatus::Compensated;
            return None;
        }
        Err(error) => error,
    };
    row.set_failed(&error, Direction::Compensate);
    if is_outage(&error) || row.undo_attempts - row.undo_outages < policy.undo_attempts {
        return Some(pause_after(policy, row.undo_attempts, &error));
    }
    row.waiting_for = Some(WaitingFor::Person);
    None
}
