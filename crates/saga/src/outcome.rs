//! Which way a saga goes, and what is made of how a try came out.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::Error;
use runtime::clock;
use tokio::time::Instant;

use crate::{
    AnyStep, Cause, Definition, OnFailure, Policy, Progress, Saga, SagaStatus, StepRow, StepStatus, Wait,
    WaitingFor,
    attempt::{Outcome, is_outage, is_tried_again, pause_after, storable_output, told},
    drive::Drive,
};

/// The shortest pause that is granted: what waits must not keep the database busy.
pub(crate) const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause that is granted, which no calendar overflows with.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Forth,
    Back,
}

impl Way {
    pub(crate) fn of(saga: &Saga) -> Self {
        if saga.status == SagaStatus::Undoing { Self::Back } else { Self::Forth }
    }

    /// What a saga is when nothing is left to do.
    pub(crate) const fn end(self) -> SagaStatus {
        match self {
            Self::Forth => SagaStatus::Completed,
            Self::Back => SagaStatus::Undone,
        }
    }

    /// Whether there is something left to do of a step.
    pub(crate) fn is_open<A>(self, row: &StepRow, step: &dyn AnyStep<A>) -> bool {
        match self {
            Self::Forth => !row.is_done(),
            Self::Back => row.may_have_effect() || (row.status == StepStatus::Pending && step.undo_unbegun()),
        }
    }

    /// Whether step `at` has to wait until nothing is left to do of `other`.
    pub(crate) fn holds_up<A>(self, definition: &Definition<A>, other: usize, at: usize) -> bool {
        match self {
            Self::Forth => definition.needs(at, other),
            Self::Back => definition.needs(other, at),
        }
    }

    /// Whether there is a pause before the next try of a step.
    pub(crate) fn pauses(self, row: &StepRow) -> bool {
        // What was waited for going forth is not when going back.
        row.next_attempt_at.is_some() && (self == Self::Forth || row.undo_attempts > 0)
    }

    /// One more try.
    pub(crate) fn begin(self, row: &mut StepRow) {
        row.next_attempt_at = None;
        match self {
            Self::Forth => {
                // Asking again what is waited for is no new try.
                row.attempts += i32::from(row.waiting_for.is_none());
                row.status = StepStatus::InProgress;
                row.started_at = row.started_at.or_else(|| Some(clock::now()));
            }
            Self::Back => {
                if row.undo_attempts == 0 {
                    // What was waited for going forth is not when going back.
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

pub(crate) fn turn_back(saga: &mut Saga, cause: Cause, why: String) {
    tracing::info!(cause = cause.as_str(), why, "undoing");
    saga.status = SagaStatus::Undoing;
    saga.cause = Some(cause);
    saga.error = Some(why);
}

impl StepRow {
    /// Why it failed, for the saga as a whole.
    pub(crate) fn why(&self) -> String {
        format!("{}: {}", self.name, self.error.as_deref().unwrap_or_default())
    }

    /// Tries that met no outage.
    pub(crate) fn tries(&self) -> i32 {
        self.attempts - self.outages
    }

    /// How often it was tried to go this way.
    pub(crate) fn attempts(&self, way: Way) -> i32 {
        match way {
            Way::Forth => self.attempts,
            Way::Back => self.undo_attempts,
        }
    }

    fn failed(&mut self, error: &Error, way: Way) {
        let outages = match way {
            Way::Forth => &mut self.outages,
            Way::Back => &mut self.undo_outages,
        };
        *outages += i32::from(is_outage(error));
        let (step, attempt, context) = (self.name.as_str(), self.attempts(way), error.log_context());
        tracing::warn!(step, ?way, attempt, error = error.message(), context, "step failed");
        self.error = Some(told(error));
        self.waiting_for = None;
    }

    /// Whether only a person can have it tried again.
    pub(crate) fn is_given_up(&self) -> bool {
        self.waiting_for == Some(WaitingFor::Person)
    }

    fn passed(&mut self, status: StepStatus) {
        self.status = status;
        self.completed_at = Some(clock::now());
        (self.error, self.waiting_for) = (None, None);
    }
}

impl<A: Send + Sync + 'static> Drive<A> {
    /// Notes how a try of step `at` came out.
    pub(crate) fn record(&mut self, then: OnFailure, step: &dyn AnyStep<A>, at: usize, outcome: Outcome) {
        let left = deadline_left(&self.saga).filter(|_| self.way == Way::Forth).unwrap_or(LONGEST_PAUSE);
        if let Ok(Some(Progress::Waiting(Wait { behind: Some(saga), .. }))) = &outcome {
            self.waits_for = Some(*saga);
        }
        let Some(row) = self.steps.get_mut(at) else { return };
        let pause = match self.way {
            Way::Forth => forth(row, step.policy(), outcome),
            Way::Back => back(row, step.policy(), outcome),
        };
        if let Some(pause) = pause {
            // Or at the deadline, which is a reason to act.
            let pause = pause.min(left).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            // As the row is written, the time is that of the database.
            row.next_attempt_at = Some(clock::now() + TimeDelta::from_std(pause).unwrap_or_default());
            self.due.insert(at, Instant::now() + pause);
        } else if row.status == StepStatus::Failed && self.way == Way::Forth {
            match then {
                OnFailure::Stop => row.waiting_for = Some(WaitingFor::Person),
                // Of several that fail, the first is the cause.
                OnFailure::Undo if self.saga.cause.is_none() => {
                    let why = row.why();
                    turn_back(&mut self.saga, Cause::Failed, why);
                }
                OnFailure::Undo => {}
            }
        }
    }
}

/// Gives the pause after which it is tried or asked again.
fn forth(row: &mut StepRow, policy: Policy, outcome: Outcome) -> Option<Duration> {
    match outcome.and_then(storable_output) {
        Ok(Some(Progress::Waiting(Wait { on, ask_again, .. }))) => {
            row.waiting_for = Some(on.storable());
            row.error = None;
            Some(ask_again)
        }
        Ok(Some(Progress::Done(output))) => {
            row.output = Some(output);
            row.passed(StepStatus::Completed);
            None
        }
        Ok(Some(Progress::Skipped) | None) => {
            row.passed(StepStatus::Skipped);
            None
        }
        Err(error) => {
            row.failed(&error, Way::Forth);
            if is_tried_again(&error, row.tries(), policy) {
                return Some(pause_after(policy, row.attempts, &error));
            }
            row.status = StepStatus::Failed;
            None
        }
    }
}

/// Gives the pause after which it is tried again to undo it.
fn back(row: &mut StepRow, policy: Policy, outcome: Outcome) -> Option<Duration> {
    let error = match outcome {
        Ok(Some(Progress::Waiting(Wait { on, ask_again, .. }))) => {
            row.waiting_for = Some(on.storable());
            return Some(ask_again);
        }
        Ok(_) => {
            // What is left of a step that had not failed is the error of an earlier try to undo it.
            row.error = row.error.take().filter(|_| row.status != StepStatus::Completed);
            row.waiting_for = None;
            row.status = StepStatus::Compensated;
            return None;
        }
        Err(error) => error,
    };
    row.failed(&error, Way::Back);
    if is_outage(&error) || row.undo_attempts - row.undo_outages < policy.undo_attempts {
        return Some(pause_after(policy, row.undo_attempts, &error));
    }
    row.waiting_for = Some(WaitingFor::Person);
    None
}
