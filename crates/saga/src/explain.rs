//! A one-sentence explanation of why a saga is not done.

use chrono::{DateTime, TimeDelta, Utc};
use runtime::clock::rfc3339_seconds as at;

use crate::{SagaStatus, SagaWithSteps, StepRow, StepStatus, direction::Direction};

/// A saga that has been due for longer than this is reported as unclaimed.
const OVERDUE: TimeDelta = TimeDelta::minutes(1);

impl SagaWithSteps {
    /// Describes the saga at `now` in one sentence: the reason why it is not done and, if known, until when.
    pub fn describe(&self, now: DateTime<Utc>) -> String {
        let saga = &self.saga;
        let why = saga.error.as_deref().unwrap_or("for an unknown reason");
        match saga.status {
            SagaStatus::Completed => "it is completed".to_owned(),
            SagaStatus::Undone => format!("it was undone: {why}"),
            SagaStatus::Stuck => self.stuck(),
            _ if saga.paused_at.is_some() => {
                let since = at(saga.paused_at.unwrap_or(now));
                format!("it has been paused since {since}, until an operator resumes it")
            }
            SagaStatus::Undoing => {
                format!("it is being undone ({why}): {}", self.describe_blocking_step(now))
            }
            SagaStatus::Pending | SagaStatus::Running => match &saga.undo_requested {
                Some(why) => {
                    format!("it will be undone ({why}) after this: {}", self.describe_blocking_step(now))
                }
                None => self.describe_blocking_step(now),
            },
        }
    }

    /// The step that keeps the saga from its end. Of several in progress, the first that fails or waits.
    pub fn blocking_step(&self) -> Option<&StepRow> {
        match self.saga.status {
            SagaStatus::Completed | SagaStatus::Undone => None,
            SagaStatus::Stuck => self.steps.iter().find(|step| step.is_stuck()).or_else(|| self.to_undo()),
            SagaStatus::Undoing => self.to_undo(),
            SagaStatus::Pending | SagaStatus::Running => {
                let blocked =
                    |step: &&StepRow| step.waiting_for.is_some() || step.failures(Direction::Forward) > 0;
                let mut left = self.steps.iter().filter(|step| !step.is_done());
                left.clone().find(blocked).or_else(|| left.next())
            }
        }
    }

    fn to_undo(&self) -> Option<&StepRow> {
        let mut left = self.steps.iter().rev().filter(|step| step.may_have_effect());
        left.clone().find(|step| step.failures(Direction::Compensate) > 0).or_else(|| left.next())
    }

    fn stuck(&self) -> String {
        let (name, error) = self
            .blocking_step()
            .map_or(("a step", ""), |step| (&step.name, step.error.as_deref().unwrap_or_default()));
        format!("step {name} has failed permanently, and an operator must retry or discard it: {error}")
    }

    fn describe_blocking_step(&self, now: DateTime<Utc>) -> String {
        let saga = &self.saga;
        let direction = Direction::for_saga(saga);
        let undoing = direction == Direction::Compensate;
        let Some(step) = self.blocking_step() else { return "its last step is done".to_owned() };
        let (name, what) = (&step.name, if undoing { "undoing step" } else { "step" });
        let owner = saga.lease_owner.as_deref().unwrap_or("unknown");
        let started = step.status == StepStatus::InProgress || (undoing && step.undo_attempts > 0);
        let unclaimed = || format!("no process has claimed it since {}", at(saga.next_run_at));
        // A cause recorded while the step ran does not apply to its undo.
        let waiting = step.waiting_for.as_ref().filter(|_| !undoing || step.undo_attempts > 0);
        match (saga.lease_until, waiting, &step.error) {
            (None, ..) if saga.next_run_at + OVERDUE < now => unclaimed(),
            (Some(until), ..) if until <= now => {
                format!(
                    "the process that ran step {name} has not renewed its lease, which ended at {}",
                    at(until)
                )
            }
            (_, Some(waiting), _) => format!("{what} {name} waits for {waiting}"),
            (_, None, Some(error)) if step.failures(direction) > 0 => {
                let again = step.next_attempt_at.map_or_else(
                    || "is being retried".to_owned(),
                    |time| format!("will be retried at {}", at(time)),
                );
                format!("{what} {name} has failed {} and {again}: {error}", times(step.failures(direction)))
            }
            (Some(_), ..) if started => match step.started_at.filter(|_| !undoing) {
                Some(since) => {
                    format!("{what} {name} has been in progress since {} in process {owner}", at(since))
                }
                None => format!("{what} {name} is in progress in process {owner}"),
            },
            (Some(until), ..) => {
                format!(
                    "process {owner} holds its lease until {}, and has not started {what} {name}",
                    at(until)
                )
            }
            (None, ..) => unclaimed(),
        }
    }
}

impl StepRow {
    /// The number of failed attempts, without one in progress and without those before a manual retry.
    fn failures(&self, direction: Direction) -> i32 {
        if self.error.is_none() {
            return 0;
        }
        self.attempts(direction) - i32::from(self.next_attempt_at.is_none())
    }
}

fn times(failures: i32) -> String {
    if failures == 1 { "once".to_owned() } else { format!("{failures} times") }
}

#[cfg(test)]
mod tests {
    use identity::Ctx;
    use serde_json::Value;
    use uuid::Uuid;

    use runtime::clock;

    use super::*;
    use crate::{Definition, NewSaga, OnFailure, Saga, WaitingFor};

    /// A saga with these steps, held by the process `p`.
    fn saga(status: SagaStatus, steps: impl Into<Vec<StepRow>>) -> SagaWithSteps {
        let definition =
            Definition::<()> { kind: "order", version: 1, steps: Vec::new(), on_failure: OnFailure::Undo };
        let new = NewSaga {
            id: Uuid::nil(),
            subject: "s".to_owned(),
            fairness_key: "s".to_owned(),
            input: Value::Null,
            deadline: None,
        };
        let (saga, _) = new.rows(&definition, &Ctx::for_service("test", "r"));
        let saga = Saga {
            status,
            error: Some("b: broken".to_owned()),
            lease_owner: Some("p".to_owned()),
            lease_until: Some(clock::now() + TimeDelta::hours(1)),
            ..saga
        };
        SagaWithSteps { saga, steps: steps.into() }
    }

    fn step(name: &str, status: StepStatus) -> StepRow {
        StepRow { status, attempts: 1, ..StepRow::new(Uuid::nil(), 0, name) }
    }

    fn failed(name: &str, attempts: i32, next_attempt_at: Option<DateTime<Utc>>) -> StepRow {
        let error = Some("no route".to_owned());
        StepRow { error, attempts, next_attempt_at, ..step(name, StepStatus::InProgress) }
    }

    #[track_caller]
    fn assert_description(saga: &SagaWithSteps, begin: &str) {
        let description = saga.describe(clock::now());
        assert!(description.starts_with(begin), "{description}");
    }

    #[test]
    fn description_names_the_blocking_one_of_concurrent_steps() {
        let (a, b) = (step("a", StepStatus::Completed), step("b", StepStatus::InProgress));
        let waiting_for = Some(WaitingFor::text("job 1"));
        let c = StepRow { waiting_for, ..step("c", StepStatus::InProgress) };
        assert_description(&saga(SagaStatus::Running, [a.clone(), b.clone(), c]), "step c waits for job 1");
        let c = failed("c", 2, Some(clock::now()));
        assert_description(
            &saga(SagaStatus::Running, [a.clone(), b.clone(), c]),
            "step c has failed 2 times and will be retried at",
        );
        assert_description(&saga(SagaStatus::Running, [a, b]), "step b is in progress in process p");
    }

    #[test]
    fn attempt_in_progress_does_not_count_as_a_failure() {
        let again = saga(SagaStatus::Running, [failed("a", 2, None)]);
        assert_description(&again, "step a has failed once and is being retried: no route");
        let forgotten = StepRow { status: StepStatus::Pending, ..failed("a", 0, None) };
        let mut retried = saga(SagaStatus::Running, [forgotten]);
        assert_description(&retried, "process p holds its lease until");
        retried.saga.lease_until = None;
        assert_description(&retried, "no process has claimed it since");
        retried.saga.lease_until = Some(clock::now() - TimeDelta::seconds(1));
        assert_description(&retried, "the process that ran step a has not renewed its lease");
    }

    #[test]
    fn overdue_saga_is_described_as_unclaimed_even_if_it_waits() {
        let waiting_for = Some(WaitingFor::text("job 1"));
        let waits = StepRow { waiting_for, ..step("a", StepStatus::InProgress) };
        let mut due = saga(SagaStatus::Running, [waits]);
        due.saga.lease_until = None;
        assert_description(&due, "step a waits for job 1");
        due.saga.next_run_at -= OVERDUE * 2;
        assert_description(&due, "no process has claimed it since");
    }

    #[test]
    fn description_of_an_undo_omits_earlier_failures() {
        let a = step("a", StepStatus::Completed);
        let b = StepRow { status: StepStatus::Failed, undo_attempts: 1, ..failed("b", 3, None) };
        let undoing = saga(SagaStatus::Undoing, [a, b.clone()]);
        assert_description(
            &undoing,
            "it is being undone (b: broken): undoing step b is in progress in process p",
        );
        let next_attempt_at = Some(clock::now());
        let a = StepRow { undo_attempts: 4, ..failed("a", 1, next_attempt_at) };
        let undoing = saga(SagaStatus::Undoing, [a, b]);
        assert_description(
            &undoing,
            "it is being undone (b: broken): undoing step a has failed 4 times and will be retried at",
        );
    }

    #[test]
    fn description_names_the_requester_of_an_undo() {
        let mut cancelled = saga(SagaStatus::Running, [step("a", StepStatus::InProgress)]);
        cancelled.saga.undo_requested = Some("cancelled by ada".to_owned());
        assert_description(
            &cancelled,
            "it will be undone (cancelled by ada) after this: step a is in progress",
        );
    }
}
