//! Drives one saga, step by step, forth or back.

use std::{sync::Arc, time::Duration};

use domain::{Error, Kind, Result};
use kit::{Caller, Ctx, clock, shutdown::Shutdown};
use rand::Rng;

use crate::{
    Cause, OnFailure, Point, Policy, Progress, Saga, SagaStatus, Step, StepCx, StepRow, StepStatus, Verdict,
    definition::Definition,
    runner::Inner,
    store::{self, Next},
};

/// Why a drive came to its end for now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Finished, stuck, or due again later.
    Released,
    /// Another runner holds the saga.
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

pub(crate) struct Drive<A> {
    inner: Arc<Inner<A>>,
    saga: Saga,
    steps: Vec<StepRow>,
    stop: Shutdown,
}

impl<A: Send + Sync + 'static> Drive<A> {
    pub(crate) fn new(inner: Arc<Inner<A>>, saga: Saga, stop: Shutdown) -> Self {
        Self { inner, saga, steps: Vec::new(), stop }
    }

    pub(crate) fn into_saga(self) -> Saga {
        self.saga
    }

    /// Drives until the saga ends, has to wait, or the process stops.
    pub(crate) async fn run(&mut self) -> Result<Ended> {
        let inner = Arc::clone(&self.inner);
        let Some(definition) = inner.definitions.get(&(self.saga.kind.clone(), self.saga.version)) else {
            // Another version of this binary may know it.
            tracing::error!(version = self.saga.version, "no definition of this saga in this binary");
            self.save(None, Next::Release(Duration::from_secs(60))).await?;
            return Ok(Ended::Released);
        };
        self.steps = store::steps_of(&mut *self.inner.db.conn().await?, &[self.saga.id]).await?;
        if self.saga.status == SagaStatus::Pending {
            self.saga.status = SagaStatus::Running;
            self.saga.started_at = Some(clock::now());
        }
        loop {
            if self.stop.has_begun() {
                return Ok(Ended::Stopped);
            }
            self.look_for_reasons_to_undo();
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
        } else if self.saga.deadline.is_some_and(|deadline| deadline < clock::now()) {
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
        if let Some(end) = self.put(at, row.clone(), Next::Hold).await? {
            return Ok(Turn::Ended(end));
        }
        let outcome = match self.meet(step, false, Point::AfterIntent) {
            Verdict::Die => return Ok(Turn::Ended(Ended::Died)),
            Verdict::Fail(error) => Err(error),
            verdict => {
                let cx = self.cx(step, row.attempts);
                let first = within(step.policy().timeout, step.run(&self.inner.app, &cx)).await;
                if let Verdict::Twice = verdict { within(step.policy().timeout, step.run(&self.inner.app, &cx)).await } else { first }
            }
        };
        let outcome = match self.meet(step, false, Point::AfterEffect) {
            Verdict::Die => return Ok(Turn::Ended(Ended::Died)),
            Verdict::Fail(error) => Err(error),
            _ => outcome,
        };
        let turn = self.record(definition, at, row, outcome).await?;
        match self.meet(step, false, Point::AfterRecord) {
            Verdict::Die => Ok(Turn::Ended(Ended::Died)),
            _ => Ok(turn),
        }
    }

    async fn record(&mut self, definition: &Definition<A>, at: usize, mut row: StepRow, outcome: Result<Progress>) -> Result<Turn> {
        let (step, _) = self.step(definition, at)?;
        let mut next = Next::Hold;
        match outcome {
            Ok(Progress::Done(output)) => {
                row.status = StepStatus::Completed;
                row.output = Some(output);
                row.completed_at = Some(clock::now());
                (row.error, row.waiting_for) = (None, None);
            }
            Ok(Progress::Skipped) => {
                row.status = StepStatus::Skipped;
                row.completed_at = Some(clock::now());
                (row.error, row.waiting_for) = (None, None);
            }
            Ok(Progress::Waiting { on, ask_again }) => {
                row.waiting_for = Some(on);
                next = self.later(&mut row, ask_again);
            }
            Err(error) => {
                tracing::warn!(step = step.name(), attempt = row.attempts, error = error.message(), context = error.log_context(), "step failed");
                row.error = Some(told(&error));
                row.waiting_for = None;
                if error.kind().is_transient() && row.attempts < step.policy().attempts {
                    let wait = pause(step.policy(), row.attempts);
                    next = self.later(&mut row, wait);
                } else {
                    row.status = StepStatus::Failed;
                    let why = format!("{}: {}", step.name(), told(&error));
                    match definition.on_failure {
                        OnFailure::Undo => self.turn_back(Cause::Failed, why),
                        OnFailure::Stop => {
                            self.saga.error = Some(why);
                            return self.stuck(at, row).await;
                        }
                    }
                }
            }
        }
        let released = matches!(next, Next::Release(_));
        Ok(match self.put(at, row, next).await? {
            Some(end) => Turn::Ended(end),
            None if released => Turn::Ended(Ended::Released),
            None => Turn::On,
        })
    }

    async fn undo_next(&mut self, definition: &Definition<A>) -> Result<Turn> {
        let Some(at) = self.steps.iter().rposition(StepRow::may_have_effect) else {
            store::skip_pending(&mut *self.inner.db.conn().await?, self.saga.id).await?;
            return self.finish(SagaStatus::Undone).await;
        };
        let (step, mut row) = self.step(definition, at)?;
        if let Verdict::Die = self.meet(step, true, Point::BeforeIntent) {
            return Ok(Turn::Ended(Ended::Died));
        }
        row.undo_attempts += 1;
        row.next_attempt_at = None;
        row.waiting_for = None;
        if let Some(end) = self.put(at, row.clone(), Next::Hold).await? {
            return Ok(Turn::Ended(end));
        }
        let outcome = match self.meet(step, true, Point::AfterIntent) {
            Verdict::Die => return Ok(Turn::Ended(Ended::Died)),
            Verdict::Fail(error) => Err(error),
            verdict => {
                let cx = self.cx(step, row.attempts);
                let first = within(step.policy().timeout, step.undo(&self.inner.app, &cx)).await;
                if let Verdict::Twice = verdict { within(step.policy().timeout, step.undo(&self.inner.app, &cx)).await } else { first }
            }
        };
        if let Verdict::Die = self.meet(step, true, Point::AfterEffect) {
            return Ok(Turn::Ended(Ended::Died));
        }
        let mut next = Next::Hold;
        match outcome {
            Ok(()) => row.status = StepStatus::Compensated,
            Err(error) => {
                tracing::warn!(step = step.name(), attempt = row.undo_attempts, error = error.message(), context = error.log_context(), "undoing failed");
                row.error = Some(told(&error));
                if row.undo_attempts >= step.policy().undo_attempts {
                    return self.stuck(at, row).await;
                }
                let wait = pause(step.policy(), row.undo_attempts);
                next = self.later(&mut row, wait);
            }
        }
        let released = matches!(next, Next::Release(_));
        let put = self.put(at, row, next).await?;
        if let Verdict::Die = self.meet(step, true, Point::AfterRecord) {
            return Ok(Turn::Ended(Ended::Died));
        }
        Ok(match put {
            Some(end) => Turn::Ended(end),
            None if released => Turn::Ended(Ended::Released),
            None => Turn::On,
        })
    }

    /// When a row is next tried, and that the saga is free until then.
    fn later(&self, row: &mut StepRow, pause: Duration) -> Next {
        // No later than the deadline, which is a reason to act.
        let left = self.saga.deadline.filter(|_| self.saga.status == SagaStatus::Running).map_or(pause, |deadline| {
            (deadline - clock::now()).to_std().unwrap_or_default().max(Duration::from_millis(10))
        });
        let pause = pause.min(left);
        row.next_attempt_at = Some(clock::now() + pause);
        Next::Release(pause)
    }

    async fn stuck(&mut self, at: usize, row: StepRow) -> Result<Turn> {
        tracing::error!(step = row.name, error = row.error, "the saga is stuck and needs a person");
        self.saga.status = SagaStatus::Stuck;
        self.saga.finished_at = Some(clock::now());
        let end = self.put(at, row, Next::Release(Duration::ZERO)).await?;
        Ok(Turn::Ended(end.unwrap_or(Ended::Released)))
    }

    async fn finish(&mut self, status: SagaStatus) -> Result<Turn> {
        self.saga.status = status;
        self.saga.finished_at = Some(clock::now());
        // A wish to undo that came just now is still to be met.
        match self.save(None, Next::Hold).await? {
            None => return Ok(Turn::Ended(Ended::LeaseLost)),
            Some(Some(why)) if status == SagaStatus::Completed => {
                self.saga.status = SagaStatus::Running;
                self.saga.finished_at = None;
                self.saga.undo_asked = Some(why);
                return Ok(Turn::On);
            }
            Some(_) => {}
        }
        tracing::info!(status = status.as_str(), "the saga has ended");
        self.save(None, Next::Release(Duration::ZERO)).await?;
        Ok(Turn::Ended(Ended::Released))
    }

    /// Writes the saga and one step; says so if another runner holds the saga by now.
    async fn put(&mut self, at: usize, row: StepRow, next: Next) -> Result<Option<Ended>> {
        let saved = self.save(Some(&row), next).await?;
        if let Some(slot) = self.steps.get_mut(at) {
            *slot = row;
        }
        match saved {
            None => Ok(Some(Ended::LeaseLost)),
            Some(undo_asked) => {
                self.saga.undo_asked = undo_asked;
                Ok(None)
            }
        }
    }

    async fn save(&self, step: Option<&StepRow>, next: Next) -> Result<Option<Option<String>>> {
        store::save(&mut *self.inner.db.conn().await?, &self.saga, step, next).await
    }

    fn step<'d>(&self, definition: &'d Definition<A>, at: usize) -> Result<(&'d dyn Step<A>, StepRow)> {
        match (definition.steps.get(at), self.steps.get(at)) {
            (Some(step), Some(row)) if step.name() == row.name => Ok((step.as_ref(), row.clone())),
            _ => Err(Error::internal(format!("step {at} is not as the definition {definition:?} has it"))),
        }
    }

    fn cx(&self, step: &dyn Step<A>, attempt: i32) -> StepCx {
        let outputs = self.steps.iter().filter_map(|row| Some((row.name.clone(), row.output.clone()?))).collect();
        let ctx = Ctx {
            caller: Caller::this_service(self.inner.db.service()),
            request_id: self.saga.request_id.as_str().into(),
            traceparent: kit::telemetry::traceparent().or_else(|| self.saga.traceparent.clone()).map(Into::into),
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

async fn within<T>(time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::GatewayTimeout, format!("it took longer than {} s", time.as_secs_f32())))
    })
}

/// What a person is told of an error in a step: the code and the message that a client may see.
fn told(error: &Error) -> String {
    format!("{}: {}", error.kind(), error.message())
}

/// Random, up to twice as long after each try (full jitter).
fn pause(policy: Policy, tries: i32) -> Duration {
    let doublings = u32::try_from(tries.clamp(1, 16) - 1).unwrap_or(0);
    let most = policy.pause.saturating_mul(1 << doublings).min(policy.max_pause);
    most.mul_f64(rand::rng().random_range(0.0..=1.0))
}
