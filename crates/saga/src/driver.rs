//! The driver of one saga, forward or in compensation: it chooses the next action, records it and executes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use domain::{Error, Result};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use identity::{Caller, Ctx};
use runtime::{clock, shutdown::Shutdown};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    AnyStep, AttemptResult, Cause, Fault, InjectionPoint, Saga, SagaStatus, StepCx, StepPhase, StepRow,
    attempt::{Attempt, Outcome},
    connection::with_retries,
    definition::Definition,
    direction::{Direction, SHORTEST_PAUSE, deadline_left, start_undo},
    lease::{self, ChangedStep, LeaseAction, Signals},
    runner::Inner,
};

/// The reason why a driver returned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DriverExit {
    /// The saga is finished, stuck or paused (`None`), or due again after a pause.
    Released(Option<Duration>),
    /// The lease is lost, or may be.
    LeaseLost,
    /// The process is stopping.
    Stopped,
    /// A test injected a crash.
    Crashed,
}

/// The next action of a driver.
enum NextAction {
    /// Start attempts of these steps, concurrently with those in progress.
    Start(Vec<usize>),
    /// Wait until an attempt in progress ends, or for this time at most.
    Wait(Option<Duration>),
    /// Release the saga, which is due again after the pause.
    Release(Option<Duration>),
    Stop,
}

/// The attempts in progress. Each yields the step's index and the outcome, or `None` for an injected crash.
type Attempts<'d> = FuturesUnordered<BoxFuture<'d, (usize, Option<Outcome>)>>;

pub(crate) struct Driver<A> {
    inner: Arc<Inner<A>>,
    pub(crate) saga: Saga,
    pub(crate) steps: Vec<StepRow>,
    /// Steps with changes that are not written yet.
    changed: BTreeSet<usize>,
    /// Attempts that have ended and are not written yet.
    finished: Vec<(usize, Direction, AttemptResult)>,
    in_progress: BTreeSet<usize>,
    /// The times of the next attempts, on the monotonic clock, so that a clock change does not alter a pause.
    pub(crate) due: BTreeMap<usize, Instant>,
    /// The saga that the step attempted last waits for.
    pub(crate) waits_for: Option<Uuid>,
    /// The direction of the attempts in progress. The saga may have changed direction since they started.
    pub(crate) direction: Direction,
    /// True until the first attempt after the claim.
    fresh: bool,
    /// True if an operator has paused the saga.
    paused: bool,
    stop: Shutdown,
}

impl<A: Send + Sync + 'static> Driver<A> {
    pub(crate) fn new(inner: Arc<Inner<A>>, saga: Saga, stop: Shutdown) -> Self {
        Self {
            inner,
            saga,
            steps: Vec::new(),
            changed: BTreeSet::new(),
            finished: Vec::new(),
            in_progress: BTreeSet::new(),
            due: BTreeMap::new(),
            waits_for: None,
            direction: Direction::Forward,
            fresh: true,
            paused: false,
            stop,
        }
    }

    /// Runs until the saga ends or has to wait, or until the process stops.
    pub(crate) async fn run(mut self) -> Result<DriverExit> {
        let inner = Arc::clone(&self.inner);
        let definition = inner.definition(&self.saga)?;
        self.load(definition).await?;
        let mut attempts = Attempts::new();
        loop {
            let exit = match self.next_action(definition) {
                NextAction::Start(steps) => self.start(&inner, definition, &steps, &mut attempts).await?,
                NextAction::Wait(limit) => self.wait(definition, limit, &mut attempts).await?,
                NextAction::Release(pause) => self.release(definition, pause).await?,
                NextAction::Stop => self.write_changes(definition).await?.or(Some(DriverExit::Stopped)),
            };
            if let Some(exit) = exit {
                return Ok(exit);
            }
        }
    }

    async fn load(&mut self, definition: &Definition<A>) -> Result<()> {
        let id = self.saga.id;
        let loaded =
            with_retries(|| self.inner.run_statement(async |c| lease::load_steps(c, id).await)).await?;
        let now = Instant::now();
        for (at, (row, pause)) in loaded.into_iter().enumerate() {
            self.due.extend(pause.map(|pause| (at, now + pause)));
            self.steps.push(row);
        }
        let names = self.steps.iter().map(|row| row.name.as_str());
        if !names.eq(definition.steps.iter().map(|step| step.name())) {
            return Err(Error::internal(format!(
                "the steps differ from those of the definition {definition:?}"
            )));
        }
        if self.saga.status == SagaStatus::Pending {
            self.saga.status = SagaStatus::Running;
            self.saga.started_at = Some(clock::now());
        }
        Ok(())
    }

    fn next_action(&mut self, definition: &Definition<A>) -> NextAction {
        if self.in_progress.is_empty() {
            self.undo_if_requested_or_late();
            self.direction = Direction::for_saga(&self.saga);
            if let Some(action) = self.halt() {
                return action;
            }
        } else if self.must_halt() {
            return NextAction::Wait(None);
        }
        let open = self.open(definition);
        if open.is_empty() {
            self.saga.status = self.direction.end();
            return self.finish();
        }
        let ready = open.iter().filter(|at| {
            !self.in_progress.contains(at)
                && !open.iter().any(|other| self.direction.blocks(definition, *other, **at))
        });
        self.start_or_wait(ready.copied().collect())
    }

    /// Chooses to start the ready steps that are due, or to wait for the first one.
    fn start_or_wait(&self, ready: Vec<usize>) -> NextAction {
        let left = |at: &usize| self.pause_left(*at);
        let due: Vec<_> = ready.iter().filter(|at| left(at).is_zero()).copied().collect();
        if !due.is_empty() {
            return NextAction::Start(due);
        }
        let Some(first) = ready.into_iter().min_by_key(left) else { return NextAction::Wait(None) };
        let pause = left(&first).max(SHORTEST_PAUSE);
        match self.in_progress.is_empty() {
            // A claimed saga is due, even if its steps are not: an operator resumed it, or its wait has ended.
            true if self.fresh => NextAction::Start(vec![first]),
            true => NextAction::Release(Some(pause)),
            false => NextAction::Wait(Some(pause)),
        }
    }

    /// The time left until the step's next attempt.
    fn pause_left(&self, at: usize) -> Duration {
        let pauses = self.steps.get(at).is_some_and(|row| self.direction.has_pause(row));
        let due = self.due.get(&at).filter(|_| pauses);
        due.map(|due| due.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    /// The steps with work left to do.
    fn open(&self, definition: &Definition<A>) -> Vec<usize> {
        let steps = self.steps.iter().zip(&definition.steps).enumerate();
        steps
            .filter(|(_, (row, step))| self.direction.is_open(row, step.as_ref()))
            .map(|(at, _)| at)
            .collect()
    }

    fn undo_if_requested_or_late(&mut self) {
        if self.saga.status != SagaStatus::Running {
            return;
        }
        let (cause, why) = match self.saga.undo_requested.clone() {
            Some(why) => (Cause::Cancelled, why),
            None if self.is_late() => (Cause::Expired, "it did not finish before its deadline".to_owned()),
            None => return,
        };
        start_undo(&mut self.saga, cause, why);
        for row in self.steps.iter_mut().filter(|row| row.is_stuck()) {
            row.waiting_for = None;
        }
    }

    fn is_late(&self) -> bool {
        deadline_left(&self.saga).is_some_and(|left| left.is_zero())
    }

    /// Returns true if the driver must not start another attempt.
    fn must_halt(&self) -> bool {
        let changes_direction = self.direction != Direction::for_saga(&self.saga)
            || (self.direction == Direction::Forward
                && (self.saga.undo_requested.is_some() || self.is_late()));
        changes_direction || self.paused || self.stuck_step().is_some() || self.stop.has_begun()
    }

    /// The action of a driver that has no attempt in progress and must not start one; otherwise `None`.
    fn halt(&mut self) -> Option<NextAction> {
        if self.stop.has_begun() {
            return Some(NextAction::Stop);
        }
        if self.paused {
            return Some(NextAction::Release(None));
        }
        let why = self.stuck_step()?.failure_reason();
        self.saga.error = self.saga.error.take().or(Some(why));
        self.saga.status = SagaStatus::Stuck;
        Some(self.finish())
    }

    fn finish(&mut self) -> NextAction {
        self.saga.finished_at = Some(clock::now());
        NextAction::Release(None)
    }

    /// The step that only an operator can retry.
    fn stuck_step(&self) -> Option<&StepRow> {
        self.steps.iter().find(|row| row.is_stuck())
    }

    async fn start<'d>(
        &mut self,
        inner: &'d Inner<A>,
        definition: &'d Definition<A>,
        steps: &[usize],
        attempts: &mut Attempts<'d>,
    ) -> Result<Option<DriverExit>> {
        let row = |at: &usize| Some((*at, self.steps.get(*at)?.clone()));
        let before: Vec<_> = steps.iter().filter_map(row).collect();
        for at in steps {
            if self.crashes(definition, *at, self.direction, StepPhase::BeforeIntent, None) {
                return Ok(Some(DriverExit::Crashed));
            }
            if let Some(row) = self.steps.get_mut(*at) {
                self.direction.start_attempt(row);
            }
        }
        self.changed.extend(steps);
        if let Some(exit) = self.write_changes(definition).await? {
            return Ok(Some(exit));
        }
        self.fresh = false;
        if self.must_halt() {
            // The write returned a request to pause or undo the saga. The attempts have not started yet.
            for (at, row) in before {
                self.steps.get_mut(at).into_iter().for_each(|current| current.clone_from(&row));
            }
            self.changed.extend(steps);
            return Ok(None);
        }
        self.waits_for = None;
        for &at in steps {
            self.due.remove(&at);
            if let (Some(step), Some(row)) = (definition.steps.get(at), self.steps.get(at)) {
                let step = step.as_ref();
                let saga = inner.hooks.fault_injector.is_some().then(|| self.saga.clone());
                let attempt =
                    Attempt { inner, step, cx: self.cx(step, row), direction: self.direction, saga };
                attempts.push(attempt.run().map(move |outcome| (at, outcome)).boxed());
            }
        }
        self.in_progress.extend(steps);
        Ok(None)
    }

    async fn wait(
        &mut self,
        definition: &Definition<A>,
        limit: Option<Duration>,
        attempts: &mut Attempts<'_>,
    ) -> Result<Option<DriverExit>> {
        if let Some(exit) = self.write_changes(definition).await? {
            return Ok(Some(exit));
        }
        let finished = match limit {
            Some(time) => tokio::time::timeout(time, attempts.next()).await.unwrap_or_default(),
            None => attempts.next().await,
        };
        let Some((at, outcome)) = finished else { return Ok(None) };
        let Some(outcome) = outcome else { return Ok(Some(DriverExit::Crashed)) };
        let result = AttemptResult::from_outcome(&outcome);
        self.in_progress.remove(&at);
        if let Some(step) = definition.steps.get(at) {
            self.record(definition.on_failure, step.as_ref(), at, outcome);
        }
        self.changed.insert(at);
        self.finished.push((at, self.direction, result));
        Ok(None)
    }

    /// Writes the changed steps, if any, and keeps the lease.
    async fn write_changes(&mut self, definition: &Definition<A>) -> Result<Option<DriverExit>> {
        if self.changed.is_empty() {
            return Ok(None);
        }
        self.write(definition).await
    }

    /// Writes the saga and its changed steps, and keeps the lease.
    async fn write(&mut self, definition: &Definition<A>) -> Result<Option<DriverExit>> {
        let Some(saved) = self.save(LeaseAction::Keep).await? else { return Ok(Some(DriverExit::LeaseLost)) };
        (self.saga.undo_requested, self.paused) = (saved.undo_requested, saved.paused);
        Ok(self.after_write(definition))
    }

    /// Writes the saga and releases it, for a pause or because it has nothing left to do. If an undo was requested
    /// since the last write, the driver keeps the lease and starts the undo instead.
    async fn release(
        &mut self,
        definition: &Definition<A>,
        pause: Option<Duration>,
    ) -> Result<Option<DriverExit>> {
        let waits_for = self.waits_for.filter(|_| pause.is_some());
        if self.save(LeaseAction::Release { pause: pause.unwrap_or_default(), waits_for }).await?.is_some() {
            self.log_end();
            match pause {
                Some(_) => self.inner.hooks.report_waits(&self.steps),
                None if !self.saga.status.is_in_progress() => self.inner.hooks.report_end(self.saga.id),
                None => {}
            }
            return Ok(self.after_write(definition).or(Some(DriverExit::Released(pause))));
        }
        if self.saga.cause.is_none() {
            self.saga.status = SagaStatus::Running;
            self.saga.finished_at = None;
        }
        self.write(definition).await
    }

    fn log_end(&self) {
        let status = self.saga.status.as_str();
        match self.stuck_step() {
            Some(StepRow { name, error, .. }) if self.saga.status == SagaStatus::Stuck => {
                tracing::error!(step = name, error, "the saga is stuck and needs an operator");
            }
            _ if !self.saga.status.is_in_progress() => tracing::info!(status, "the saga has ended"),
            _ => {}
        }
    }

    async fn save(&self, lease_action: LeaseAction) -> Result<Option<Signals>> {
        let row = |at: &usize| {
            let row = self.steps.get(*at)?;
            let left = || self.due.get(at).map(|due| due.saturating_duration_since(Instant::now()));
            Some(ChangedStep { row, pause: row.next_attempt_at.map(|_| left().unwrap_or_default()) })
        };
        let changed: Vec<_> = self.changed.iter().filter_map(row).collect();
        with_retries(|| {
            self.inner.run_statement(async |c| lease::save(c, &self.saga, &changed, lease_action).await)
        })
        .await
    }

    /// Clears the changes after a write. Returns [`DriverExit::Crashed`] if a test injects a crash after it.
    fn after_write(&mut self, definition: &Definition<A>) -> Option<DriverExit> {
        self.changed.clear();
        let finished = std::mem::take(&mut self.finished);
        let crashes = |(at, direction, result)| {
            self.crashes(definition, at, direction, StepPhase::AfterRecord, Some(result))
        };
        finished.into_iter().any(crashes).then_some(DriverExit::Crashed)
    }

    fn crashes(
        &self,
        definition: &Definition<A>,
        at: usize,
        direction: Direction,
        phase: StepPhase,
        result: Option<AttemptResult>,
    ) -> bool {
        let Some(step) = definition.steps.get(at) else { return false };
        let (saga, undo) = (&self.saga, direction == Direction::Compensate);
        let fault = self.inner.inject(InjectionPoint { saga, step: step.name(), undo, phase, result });
        matches!(fault, Fault::Crash)
    }

    fn cx(&self, step: &dyn AnyStep<A>, row: &StepRow) -> StepCx {
        let output = |row: &StepRow| Some((row.name.clone(), row.output.clone()?));
        let ctx = Ctx {
            caller: Caller::this_service(self.inner.db.service()),
            request_id: self.saga.request_id.as_str().into(),
            traceparent: runtime::telemetry::traceparent()
                .or_else(|| self.saga.traceparent.clone())
                .map(Into::into),
        };
        StepCx {
            saga_id: self.saga.id,
            subject: self.saga.subject.clone(),
            fairness_key: self.saga.fairness_key.clone(),
            ctx,
            attempt: row.attempts(self.direction),
            error: self.saga.error.clone(),
            step: step.name(),
            counted_attempts: row.counted_attempts(),
            input: self.saga.input.clone(),
            outputs: self.steps.iter().filter_map(output).collect(),
        }
    }
}
