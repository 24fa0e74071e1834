//! Drives one saga, step by step, forth or back.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use domain::{Error, Result};
use futures_util::future::BoxFuture;
use kit::{Caller, Ctx, clock, shutdown::Shutdown};

use crate::{
    Cause, OnFailure, Point, Progress, Saga, SagaStatus, Step, StepCx, StepRow, StepStatus, Verdict,
    attempt::{is_outage, pause_after, storable_output, told, within},
    connection::insist,
    definition::Definition,
    lease::{self, Next, Saved},
    runner::Inner,
    store::{self, storable},
};

/// Why a drive came to its end for now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Finished or stuck; or due again after a pause.
    Released(Option<Duration>),
    /// The saga is not, or not surely, held any longer.
    LeaseLost,
    /// The process stops.
    Stopped,
    /// A test killed the runner.
    Died,
}

/// What one step came to.
enum Turn {
    On,
    Ended(Ended),
}

/// The shortest pause that is granted: what waits must not keep the database busy.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause that is granted, which no calendar overflows with.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

pub(crate) struct Drive<A> {
    inner: Arc<Inner<A>>,
    saga: Saga,
    steps: Vec<StepRow>,
    /// Whether a person has it rest.
    paused: bool,
    stop: Shutdown,
}

impl<A: Send + Sync + 'static> Drive<A> {
    pub(crate) fn new(inner: Arc<Inner<A>>, saga: Saga, stop: Shutdown) -> Self {
        Self { inner, saga, steps: Vec::new(), paused: false, stop }
    }

    /// Drives until the saga ends, has to wait, or the process stops.
    pub(crate) async fn run(mut self) -> Result<Ended> {
        let inner = Arc::clone(&self.inner);
        let definition = inner.definition(&self.saga)?;
        let ids = [self.saga.id];
        self.steps = insist(|| inner.ask(async |c| store::steps_of(c, &ids).await)).await?;
        if self.saga.status == SagaStatus::Pending {
            self.saga.status = SagaStatus::Running;
            self.saga.started_at = Some(clock::now());
        }
        loop {
            if self.stop.has_begun() {
                return Ok(Ended::Stopped);
            }
            self.look_for_reasons_to_undo();
            if self.paused {
                match self.let_go(None, None).await? {
                    Turn::Ended(ended) => return Ok(ended),
                    // To be undone after all.
                    Turn::On => continue,
                }
            }
            let turn = match self.saga.status {
                SagaStatus::Undoing => self.undo_next(definition).await?,
                _ => self.run_next(definition).await?,
            };
            if let Turn::Ended(ended) = turn {
                return Ok(ended);
            }
        }
    }

    fn look_for_reasons_to_undo(&mut self) {
        if self.saga.status != SagaStatus::Running {
            return;
        }
        if let Some(why) = self.saga.undo_asked.clone() {
            self.turn_back(Cause::Cancelled, why);
        } else if self.deadline_left().is_some_and(|left| left.is_zero()) {
            self.turn_back(Cause::Expired, "it was not finished in time".to_owned());
        }
    }

    fn turn_back(&mut self, cause: Cause, why: String) {
        tracing::info!(cause = cause.as_str(), why, "undoing");
        self.saga.status = SagaStatus::Undoing;
        self.saga.cause = Some(cause);
        self.saga.error = Some(why);
    }

    async fn run_next(&mut self, definition: &Definition<A>) -> Result<Turn> {
        let done = |step: &StepRow| matches!(step.status, StepStatus::Completed | StepStatus::Skipped);
        let Some(at) = self.steps.iter().position(|step| !done(step)) else {
            return self.finish(SagaStatus::Completed).await;
        };
        let (step, mut row) = self.step(definition, at)?;
        if let Verdict::Die = self.meet(step, false, Point::BeforeIntent) {
            return Ok(Turn::Ended(Ended::Died));
        }
        // Asking again what is waited for is no new try.
        row.attempts += i32::from(row.waiting_for.is_none());
        row.status = StepStatus::InProgress;
        row.started_at = row.started_at.or_else(|| Some(clock::now()));
        row.next_attempt_at = None;
        if self.put(at, row.clone()).await?.is_none() {
            return Ok(Turn::Ended(Ended::LeaseLost));
        }
        let cx = self.cx(step, row.attempts);
        let Some(outcome) = self.attempt(step, false, || step.run(&self.inner.app, &cx)).await else {
            return Ok(Turn::Ended(Ended::Died));
        };
        let turn = self.record(definition, at, row, outcome).await?;
        match self.meet(step, false, Point::AfterRecord) {
            Verdict::Die => Ok(Turn::Ended(Ended::Died)),
            _ => Ok(turn),
        }
    }

    async fn record(
        &mut self,
        definition: &Definition<A>,
        at: usize,
        mut row: StepRow,
        outcome: Result<Progress>,
    ) -> Result<Turn> {
        let (step, _) = self.step(definition, at)?;
        let policy = step.policy();
        match outcome.and_then(storable_output) {
            Ok(Progress::Waiting { on, ask_again }) => {
                row.waiting_for = Some(storable(&on));
                row.error = None;
                self.pause(at, row, ask_again).await
            }
            Ok(Progress::Done(output)) => {
                row.output = Some(output);
                self.passed(at, row, StepStatus::Completed).await
            }
            Ok(Progress::Skipped) => self.passed(at, row, StepStatus::Skipped).await,
            Err(error) => {
                let context = error.log_context();
                tracing::warn!(
                    step = step.name(),
                    attempt = row.attempts,
                    error = error.message(),
                    context,
                    "step failed"
                );
                row.error = Some(told(&error));
                row.waiting_for = None;
                row.outages += i32::from(is_outage(&error));
                let left = policy.attempts - (row.attempts - row.outages);
                if is_outage(&error) || (error.kind().is_transient() && left > 0) {
                    let wait = pause_after(policy, row.attempts, &error);
                    return self.pause(at, row, wait).await;
                }
                row.status = StepStatus::Failed;
                self.failed(definition.on_failure, at, row, &error).await
            }
        }
    }

    async fn passed(&mut self, at: usize, mut row: StepRow, status: StepStatus) -> Result<Turn> {
        row.status = status;
        row.completed_at = Some(clock::now());
        (row.error, row.waiting_for) = (None, None);
        self.hold_on(at, row).await
    }

    async fn failed(&mut self, then: OnFailure, at: usize, row: StepRow, error: &Error) -> Result<Turn> {
        let why = format!("{}: {}", row.name, told(error));
        match then {
            OnFailure::Undo => {
                self.turn_back(Cause::Failed, why);
                self.hold_on(at, row).await
            }
            OnFailure::Stop => {
                self.saga.error = Some(why);
                self.stuck(at, row).await
            }
        }
    }

    async fn undo_next(&mut self, definition: &Definition<A>) -> Result<Turn> {
        let mut steps = self.steps.iter().zip(&definition.steps);
        let Some(at) = steps.rposition(|(row, step)| {
            row.may_have_effect() || (row.status == StepStatus::Pending && step.undo_unbegun())
        }) else {
            return self.finish(SagaStatus::Undone).await;
        };
        let (step, mut row) = self.step(definition, at)?;
        if let Verdict::Die = self.meet(step, true, Point::BeforeIntent) {
            return Ok(Turn::Ended(Ended::Died));
        }
        row.undo_attempts += 1;
        row.next_attempt_at = None;
        row.waiting_for = None;
        if self.put(at, row.clone()).await?.is_none() {
            return Ok(Turn::Ended(Ended::LeaseLost));
        }
        let cx = self.cx(step, row.undo_attempts);
        let Some(outcome) = self.attempt(step, true, || step.undo(&self.inner.app, &cx)).await else {
            return Ok(Turn::Ended(Ended::Died));
        };
        let turn = self.record_undo(step, at, row, outcome).await?;
        match self.meet(step, true, Point::AfterRecord) {
            Verdict::Die => Ok(Turn::Ended(Ended::Died)),
            _ => Ok(turn),
        }
    }

    async fn record_undo(
        &mut self,
        step: &dyn Step<A>,
        at: usize,
        mut row: StepRow,
        outcome: Result<()>,
    ) -> Result<Turn> {
        let Err(error) = outcome else {
            // What is left of a step that had not failed is the error of an earlier try to undo it.
            row.error = row.error.filter(|_| row.status != StepStatus::Completed);
            row.status = StepStatus::Compensated;
            return self.hold_on(at, row).await;
        };
        let (attempt, context) = (row.undo_attempts, error.log_context());
        tracing::warn!(step = step.name(), attempt, error = error.message(), context, "undoing failed");
        row.error = Some(told(&error));
        row.undo_outages += i32::from(is_outage(&error));
        let left = step.policy().undo_attempts - (row.undo_attempts - row.undo_outages);
        if left <= 0 && !is_outage(&error) {
            return self.stuck(at, row).await;
        }
        let wait = pause_after(step.policy(), row.undo_attempts, &error);
        self.pause(at, row, wait).await
    }

    /// One try, with what a test makes of it; nothing when the test killed the runner.
    async fn attempt<'c, T>(
        &self,
        step: &dyn Step<A>,
        undo: bool,
        work: impl Fn() -> BoxFuture<'c, Result<T>>,
    ) -> Option<Result<T>> {
        let timeout = step.policy().timeout;
        let outcome = match self.meet(step, undo, Point::AfterIntent) {
            Verdict::Die => return None,
            Verdict::Fail(error) => Err(error),
            Verdict::Go => within(timeout, work()).await,
            Verdict::Twice => {
                let _first = within(timeout, work()).await;
                within(timeout, work()).await
            }
        };
        match self.meet(step, undo, Point::AfterEffect) {
            Verdict::Die => None,
            Verdict::Fail(error) => Some(Err(error)),
            Verdict::Go | Verdict::Twice => Some(outcome),
        }
    }

    async fn stuck(&mut self, at: usize, mut row: StepRow) -> Result<Turn> {
        row.waiting_for = Some("a person: its tries are used up".to_owned());
        let (step, error) = (row.name.clone(), row.error.clone());
        self.saga.status = SagaStatus::Stuck;
        self.saga.finished_at = Some(clock::now());
        let turn = self.let_go(Some((at, row)), None).await?;
        if let Turn::Ended(Ended::Released(_)) = turn {
            tracing::error!(step, error, "the saga is stuck and needs a person");
        }
        Ok(turn)
    }

    async fn finish(&mut self, status: SagaStatus) -> Result<Turn> {
        self.saga.status = status;
        self.saga.finished_at = Some(clock::now());
        let turn = self.let_go(None, None).await?;
        if let Turn::Ended(Ended::Released(_)) = turn {
            tracing::info!(status = status.as_str(), "the saga has ended");
        }
        Ok(turn)
    }

    /// Has the step tried again after a pause, or at the deadline, which is a reason to act.
    async fn pause(&mut self, at: usize, mut row: StepRow, pause: Duration) -> Result<Turn> {
        let left = self.deadline_left().filter(|_| self.saga.status == SagaStatus::Running);
        let pause = pause.min(left.unwrap_or(LONGEST_PAUSE)).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        row.next_attempt_at = Some(clock::now() + pause);
        self.let_go(Some((at, row)), Some(pause)).await
    }

    fn deadline_left(&self) -> Option<Duration> {
        let left = |deadline: DateTime<Utc>| (deadline - clock::now()).to_std().unwrap_or_default();
        self.saga.deadline.map(left)
    }

    /// Writes, and goes on with the next step.
    async fn hold_on(&mut self, at: usize, row: StepRow) -> Result<Turn> {
        Ok(self.put(at, row).await?.map_or(Turn::Ended(Ended::LeaseLost), |_| Turn::On))
    }

    /// Writes, and lets go of the saga: for a pause, or because there is nothing more to do. A wish to have it undone
    /// comes first: then it goes on, and turns back.
    async fn let_go(&mut self, step: Option<(usize, StepRow)>, pause: Option<Duration>) -> Result<Turn> {
        let next = Next::Release(pause.unwrap_or_default());
        if self.save(step.as_ref().map(|(_, row)| row), next).await?.is_some() {
            return Ok(Turn::Ended(Ended::Released(pause)));
        }
        if self.saga.cause.is_none() {
            self.saga.status = SagaStatus::Running;
            self.saga.finished_at = None;
        }
        let saved = match step {
            Some((at, row)) => self.put(at, row).await?,
            None => self.save(None, Next::Hold).await?,
        };
        let Some(saved) = saved else { return Ok(Turn::Ended(Ended::LeaseLost)) };
        (self.saga.undo_asked, self.paused) = (saved.undo_asked, saved.paused);
        Ok(Turn::On)
    }

    /// Writes the saga and one step, and holds it; nothing when another runner has it by now.
    async fn put(&mut self, at: usize, row: StepRow) -> Result<Option<Saved>> {
        let saved = self.save(Some(&row), Next::Hold).await?;
        if let Some(slot) = self.steps.get_mut(at) {
            *slot = row;
        }
        if let Some(saved) = &saved {
            self.saga.undo_asked.clone_from(&saved.undo_asked);
            self.paused = saved.paused;
        }
        Ok(saved)
    }

    async fn save(&self, step: Option<&StepRow>, next: Next) -> Result<Option<Saved>> {
        insist(|| self.inner.ask(async |c| lease::save(c, &self.saga, step, next).await)).await
    }

    fn step<'d>(&self, definition: &'d Definition<A>, at: usize) -> Result<(&'d dyn Step<A>, StepRow)> {
        match (definition.steps.get(at), self.steps.get(at)) {
            (Some(step), Some(row)) if step.name() == row.name => Ok((step.as_ref(), row.clone())),
            _ => Err(Error::internal(format!("step {at} is not as the definition {definition:?} has it"))),
        }
    }

    fn cx(&self, step: &dyn Step<A>, attempt: i32) -> StepCx {
        let outputs =
            self.steps.iter().filter_map(|row| Some((row.name.clone(), row.output.clone()?))).collect();
        let ctx = Ctx {
            caller: Caller::this_service(self.inner.db.service()),
            request_id: self.saga.request_id.as_str().into(),
            traceparent: kit::telemetry::traceparent()
                .or_else(|| self.saga.traceparent.clone())
                .map(Into::into),
        };
        StepCx {
            saga_id: self.saga.id,
            subject: self.saga.subject.clone(),
            ctx,
            attempt,
            error: self.saga.error.clone(),
            step: step.name(),
            input: self.saga.input.clone(),
            outputs,
        }
    }

    fn meet(&self, step: &dyn Step<A>, undo: bool, point: Point) -> Verdict {
        self.inner.interpose.as_ref().map_or(Verdict::Go, |interpose| interpose(step.name(), undo, point))
    }
}
