//! What a saga says of why it is not done, in one sentence.

use chrono::{DateTime, TimeDelta, Utc};
use runtime::clock::rfc3339_seconds as at;

use crate::{SagaStatus, StepRow, StepStatus, Told, outcome::Way};

/// What is due for so long, nobody is going to take up soon.
const OVERDUE: TimeDelta = TimeDelta::minutes(1);

impl Told {
    /// How it stands at `now`, in one sentence: what holds it up, and until when, as far as that is known.
    pub fn says(&self, now: DateTime<Utc>) -> String {
        let saga = &self.saga;
        let why = saga.error.as_deref().unwrap_or("for no reason that is known");
        match saga.status {
            SagaStatus::Completed => "it is completed".to_owned(),
            SagaStatus::Undone => format!("it was undone: {why}"),
            SagaStatus::Stuck => self.stuck(),
            _ if saga.paused_at.is_some() => {
                let since = at(saga.paused_at.unwrap_or(now));
                format!("a person has it rest since {since}, until a person resumes it")
            }
            SagaStatus::Undoing => format!("it is being undone ({why}): {}", self.held_up(now)),
            SagaStatus::Pending | SagaStatus::Running => match &saga.undo_asked {
                Some(why) => format!("it is to be undone ({why}), but first: {}", self.held_up(now)),
                None => self.held_up(now),
            },
        }
    }

    /// The step that it speaks of: what holds it up. Of several that are under way, the first that fails or waits.
    pub fn step(&self) -> Option<&StepRow> {
        match self.saga.status {
            SagaStatus::Completed | SagaStatus::Undone => None,
            SagaStatus::Stuck => self.steps.iter().find(|step| step.is_given_up()).or_else(|| self.to_undo()),
            SagaStatus::Undoing => self.to_undo(),
            SagaStatus::Pending | SagaStatus::Running => {
                let held_up = |step: &&StepRow| step.waiting_for.is_some() || step.failures(Way::Forth) > 0;
                let mut left = self.steps.iter().filter(|step| !step.is_done());
                left.clone().find(held_up).or_else(|| left.next())
            }
        }
    }

    fn to_undo(&self) -> Option<&StepRow> {
        let mut left = self.steps.iter().rev().filter(|step| step.may_have_effect());
        left.clone().find(|step| step.failures(Way::Back) > 0).or_else(|| left.next())
    }

    fn stuck(&self) -> String {
        let (name, error) = self
            .step()
            .map_or(("a step", ""), |step| (&step.name, step.error.as_deref().unwrap_or_default()));
        format!(
            "step {name} has failed for good and needs a person, to try it again or to discard it: {error}"
        )
    }

    fn held_up(&self, now: DateTime<Utc>) -> String {
        let saga = &self.saga;
        let (way, back) = (Way::of(saga), Way::of(saga) == Way::Back);
        let Some(step) = self.step() else { return "its last step is done".to_owned() };
        let (name, what) = (&step.name, if back { "undoing step" } else { "step" });
        let owner = saga.lease_owner.as_deref().unwrap_or("of another");
        let begun = step.status == StepStatus::InProgress || (back && step.undo_attempts > 0);
        let taken_up = || format!("no process has taken it up since {}", at(saga.next_run_at));
        // What was waited for going forth is not when going back.
        let waiting = step.waiting_for.as_ref().filter(|_| !back || step.undo_attempts > 0);
        match (saga.lease_until, waiting, &step.error) {
            (None, ..) if saga.next_run_at + OVERDUE < now => taken_up(),
            (Some(until), ..) if until <= now => {
                format!("the process that ran step {name} is gone since {}; another takes over", at(until))
            }
            (_, Some(waiting), _) => format!("{what} {name} waits for {waiting}"),
            (_, None, Some(error)) if step.failures(way) > 0 => {
                let again = step.next_attempt_at.map_or_else(
                    || "is being tried again".to_owned(),
                    |time| format!("is tried again at {}", at(time)),
                );
                format!("{what} {name} has failed {}, {again}: {error}", times(step.failures(way)))
            }
            (Some(_), ..) if begun => {
                let since = step.started_at.filter(|_| !back);
                let since = since.map(|time| format!(" since {}", at(time))).unwrap_or_default();
                format!("{what} {name} is under way{since}, in the process {owner}")
            }
            (Some(until), ..) => {
                format!("the process {owner} holds it until {}, and has not begun {what} {name}", at(until))
            }
            (None, ..) => taken_up(),
        }
    }
}

impl StepRow {
    /// How often it has failed: a try that is under way, or that a retry has forgotten, is not among them.
    fn failures(&self, way: Way) -> i32 {
        if self.error.is_none() {
            return 0;
        }
        self.attempts(way) - i32::from(self.next_attempt_at.is_none())
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

    /// A saga whose steps stand so, held by the process `p`.
    fn told(status: SagaStatus, steps: impl Into<Vec<StepRow>>) -> Told {
        let definition =
            Definition::<()> { kind: "order", version: 1, steps: Vec::new(), on_failure: OnFailure::Undo };
        let new = NewSaga {
            id: Uuid::nil(),
            subject: "s".to_owned(),
            flow: "s".to_owned(),
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
        Told { saga, steps: steps.into() }
    }

    fn step(name: &str, status: StepStatus) -> StepRow {
        StepRow { status, attempts: 1, ..StepRow::new(Uuid::nil(), 0, name) }
    }

    fn failed(name: &str, attempts: i32, next_attempt_at: Option<DateTime<Utc>>) -> StepRow {
        let error = Some("no route".to_owned());
        StepRow { error, attempts, next_attempt_at, ..step(name, StepStatus::InProgress) }
    }

    #[track_caller]
    fn assert_says(told: &Told, begin: &str) {
        let says = told.says(clock::now());
        assert!(says.starts_with(begin), "{says}");
    }

    #[test]
    fn of_steps_side_by_side_the_one_that_holds_it_up_is_told() {
        let (a, b) = (step("a", StepStatus::Completed), step("b", StepStatus::InProgress));
        let waiting_for = Some(WaitingFor::text("job 1"));
        let c = StepRow { waiting_for, ..step("c", StepStatus::InProgress) };
        assert_says(&told(SagaStatus::Running, [a.clone(), b.clone(), c]), "step c waits for job 1");
        let c = failed("c", 2, Some(clock::now()));
        assert_says(
            &told(SagaStatus::Running, [a.clone(), b.clone(), c]),
            "step c has failed 2 times, is tried again at",
        );
        assert_says(&told(SagaStatus::Running, [a, b]), "step b is under way, in the process p");
    }

    #[test]
    fn a_try_that_is_under_way_has_not_failed() {
        let again = told(SagaStatus::Running, [failed("a", 2, None)]);
        assert_says(&again, "step a has failed once, is being tried again: no route");
        let forgotten = StepRow { status: StepStatus::Pending, ..failed("a", 0, None) };
        let mut retried = told(SagaStatus::Running, [forgotten]);
        assert_says(&retried, "the process p holds it until");
        retried.saga.lease_until = None;
        assert_says(&retried, "no process has taken it up since");
        retried.saga.lease_until = Some(clock::now() - TimeDelta::seconds(1));
        assert_says(&retried, "the process that ran step a is gone since");
    }

    #[test]
    fn what_nobody_takes_up_is_told_whatever_it_waits_for() {
        let waiting_for = Some(WaitingFor::text("job 1"));
        let waits = StepRow { waiting_for, ..step("a", StepStatus::InProgress) };
        let mut due = told(SagaStatus::Running, [waits]);
        due.saga.lease_until = None;
        assert_says(&due, "step a waits for job 1");
        due.saga.next_run_at -= OVERDUE * 2;
        assert_says(&due, "no process has taken it up since");
    }

    #[test]
    fn what_failed_on_the_way_forth_is_not_told_of_the_way_back() {
        let a = step("a", StepStatus::Completed);
        let b = StepRow { status: StepStatus::Failed, undo_attempts: 1, ..failed("b", 3, None) };
        let back = told(SagaStatus::Undoing, [a, b.clone()]);
        assert_says(&back, "it is being undone (b: broken): undoing step b is under way, in the process p");
        let next_attempt_at = Some(clock::now());
        let a = StepRow { undo_attempts: 4, ..failed("a", 1, next_attempt_at) };
        let back = told(SagaStatus::Undoing, [a, b]);
        assert_says(
            &back,
            "it is being undone (b: broken): undoing step a has failed 4 times, is tried again at",
        );
    }

    #[test]
    fn who_asks_for_it_to_be_undone_is_told() {
        let mut asked = told(SagaStatus::Running, [step("a", StepStatus::InProgress)]);
        asked.saga.undo_asked = Some("cancelled by ada".to_owned());
        assert_says(&asked, "it is to be undone (cancelled by ada), but first: step a is under way");
    }
}
