//! What a saga says of why it is not done, in one sentence.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{SagaStatus, StepRow, Told};

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
                format!("a person has it rest since {}", at(saga.paused_at.unwrap_or(now)))
            }
            SagaStatus::Undoing => {
                format!("it is being undone ({why}): {}", self.held_up(self.to_undo(), true, now))
            }
            SagaStatus::Pending | SagaStatus::Running => self.held_up(self.current_step(), false, now),
        }
    }

    /// The step that is under way or comes next, if it goes forth.
    fn current_step(&self) -> Option<&StepRow> {
        self.steps.iter().find(|step| !step.is_done())
    }

    fn to_undo(&self) -> Option<&StepRow> {
        self.steps.iter().rev().find(|step| step.may_have_effect())
    }

    fn stuck(&self) -> String {
        let failed = |step: &&StepRow| step.error.is_some() && step.waiting_for.is_some();
        let step = self.steps.iter().find(failed).or_else(|| self.to_undo());
        let (name, error) =
            step.map_or(("a step", ""), |step| (&step.name, step.error.as_deref().unwrap_or_default()));
        format!("step {name} has used up its tries and needs a person: {error}")
    }

    fn held_up(&self, step: Option<&StepRow>, back: bool, now: DateTime<Utc>) -> String {
        let saga = &self.saga;
        let held = saga.lease_until.map(|until| until > now);
        let Some(step) = step else { return "its last step is done".to_owned() };
        let (name, tries) = (&step.name, if back { step.undo_attempts } else { step.attempts });
        let again = step.next_attempt_at.map(|time| format!(", is tried again at {}", at(time)));
        match (held, &step.waiting_for, &step.error) {
            (Some(false), ..) => format!("the process that ran step {name} is gone; another takes over"),
            (_, Some(waiting), _) => format!("step {name} waits for {waiting}"),
            (_, None, Some(error)) => {
                let again = again.unwrap_or_else(|| ", is being tried again".to_owned());
                let way = if back { "undoing step" } else { "step" };
                format!("{way} {name} has failed {tries} times{again}: {error}")
            }
            (Some(true), ..) => {
                let since = step.started_at.map(|time| format!(" since {}", at(time))).unwrap_or_default();
                format!("step {name} is under way{since}")
            }
            (None, ..) => format!("no process has taken it up since {}", at(saga.next_run_at)),
        }
    }
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
