//! Drives one saga, forth or back: decides what comes next, writes it down, has it done.

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
    AnyStep, Cause, Moment, Point, Saga, SagaStatus, StepCx, StepRow, Tried, Verdict,
    attempt::{Outcome, Try},
    connection::insist,
    definition::Definition,
    lease::{self, Changed, Next, Saved},
    outcome::{SHORTEST_PAUSE, Way, deadline_left, turn_back},
    runner::Inner,
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

/// What comes next.
enum Move {
    /// These steps are tried, side by side with those under way.
    Begin(Vec<usize>),
    /// A step under way comes to its end, or this time passes.
    Wait(Option<Duration>),
    /// Nothing can be done now.
    Release(Option<Duration>),
    Stop,
}

/// Tries under way: where in the saga, and what each comes to; nothing when a test killed the runner.
type Tries<'d> = FuturesUnordered<BoxFuture<'d, (usize, Option<Outcome>)>>;

pub(crate) struct Drive<A> {
    inner: Arc<Inner<A>>,
    pub(crate) saga: Saga,
    pub(crate) steps: Vec<StepRow>,
    /// Steps that are not written as they stand, and those of them whose try has come to its end.
    changed: BTreeSet<usize>,
    ended: Vec<(usize, Way, Tried)>,
    under_way: BTreeSet<usize>,
    /// When steps are to be tried again. By the clock that no one steps: a pause lasts as long as it was meant to.
    pub(crate) due: BTreeMap<usize, Instant>,
    /// The saga whose end the step that was tried last waits for.
    pub(crate) waits_for: Option<Uuid>,
    /// Which way the tries under way go; the saga may have turned meanwhile.
    pub(crate) way: Way,
    /// Nothing was tried since it was claimed.
    fresh: bool,
    /// Whether a person has it rest.
    paused: bool,
    stop: Shutdown,
}

impl<A: Send + Sync + 'static> Drive<A> {
    pub(crate) fn new(inner: Arc<Inner<A>>, saga: Saga, stop: Shutdown) -> Self {
        Self {
            inner,
            saga,
            steps: Vec::new(),
            changed: BTreeSet::new(),
            ended: Vec::new(),
            under_way: BTreeSet::new(),
            due: BTreeMap::new(),
            waits_for: None,
            way: Way::Forth,
            fresh: true,
            paused: false,
            stop,
        }
    }

    /// Drives until the saga ends, has to wait, or the process stops.
    pub(crate) async fn run(mut self) -> Result<Ended> {
        let inner = Arc::clone(&self.inner);
        let definition = inner.definition(&self.saga)?;
        self.load(definition).await?;
        let mut tries = Tries::new();
        loop {
            let ended = match self.next_move(definition) {
                Move::Begin(steps) => self.begin(&inner, definition, &steps, &mut tries).await?,
                Move::Wait(until) => self.wait(definition, until, &mut tries).await?,
                Move::Release(pause) => self.let_go(definition, pause).await?,
                Move::Stop => self.write_changes(definition).await?.or(Some(Ended::Stopped)),
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    async fn load(&mut self, definition: &Definition<A>) -> Result<()> {
        let id = self.saga.id;
        let loaded = insist(|| self.inner.ask(async |c| lease::steps_to_drive(c, id).await)).await?;
        let now = Instant::now();
        for (at, (row, pause)) in loaded.into_iter().enumerate() {
            self.due.extend(pause.map(|pause| (at, now + pause)));
            self.steps.push(row);
        }
        let named = self.steps.iter().map(|row| row.name.as_str());
        if !named.eq(definition.steps.iter().map(|step| step.name())) {
            return Err(Error::internal(format!(
                "the steps are not as the definition {definition:?} has them"
            )));
        }
        if self.saga.status == SagaStatus::Pending {
            self.saga.status = SagaStatus::Running;
            self.saga.started_at = Some(clock::now());
        }
        Ok(())
    }

    fn next_move(&mut self, definition: &Definition<A>) -> Move {
        if self.under_way.is_empty() {
            self.look_for_reasons_to_undo();
            self.way = Way::of(&self.saga);
            if let Some(rest) = self.rest() {
                return rest;
            }
        } else if self.is_to_rest() {
            return Move::Wait(None);
        }
        let open = self.open(definition);
        if open.is_empty() {
            self.saga.status = self.way.end();
            return self.over();
        }
        let ready = open.iter().filter(|at| {
            !self.under_way.contains(at)
                && !open.iter().any(|other| self.way.holds_up(definition, *other, **at))
        });
        self.among(ready.copied().collect())
    }

    /// Begins what is due among the steps that are ready, or waits for the first that is.
    fn among(&self, ready: Vec<usize>) -> Move {
        let left = |at: &usize| self.pause_left(*at);
        let due: Vec<_> = ready.iter().filter(|at| left(at).is_zero()).copied().collect();
        if !due.is_empty() {
            return Move::Begin(due);
        }
        let Some(first) = ready.into_iter().min_by_key(left) else { return Move::Wait(None) };
        let pause = left(&first).max(SHORTEST_PAUSE);
        match self.under_way.is_empty() {
            // Claimed, it is due: someone resumed it, or what it waited for has ended.
            true if self.fresh => Move::Begin(vec![first]),
            true => Move::Release(Some(pause)),
            false => Move::Wait(Some(pause)),
        }
    }

    /// How long a step is left alone before its next try.
    fn pause_left(&self, at: usize) -> Duration {
        let pauses = self.steps.get(at).is_some_and(|row| self.way.pauses(row));
        let due = self.due.get(&at).filter(|_| pauses);
        due.map(|due| due.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    /// The steps that there is something left to do of.
    fn open(&self, definition: &Definition<A>) -> Vec<usize> {
        let steps = self.steps.iter().zip(&definition.steps).enumerate();
        steps.filter(|(_, (row, step))| self.way.is_open(row, step.as_ref())).map(|(at, _)| at).collect()
    }

    fn look_for_reasons_to_undo(&mut self) {
        if self.saga.status != SagaStatus::Running {
            return;
        }
        let (cause, why) = match self.saga.undo_asked.clone() {
            Some(why) => (Cause::Cancelled, why),
            None if self.is_late() => (Cause::Expired, "it was not finished in time".to_owned()),
            None => return,
        };
        turn_back(&mut self.saga, cause, why);
        for row in self.steps.iter_mut().filter(|row| row.is_given_up()) {
            row.waiting_for = None;
        }
    }

    fn is_late(&self) -> bool {
        deadline_left(&self.saga).is_some_and(|left| left.is_zero())
    }

    /// Whether nothing more is to be begun, however much is under way.
    fn is_to_rest(&self) -> bool {
        let turns = self.way != Way::of(&self.saga)
            || (self.way == Way::Forth && (self.saga.undo_asked.is_some() || self.is_late()));
        turns || self.paused || self.given_up().is_some() || self.stop.has_begun()
    }

    /// Why nothing is done, when nothing is under way.
    fn rest(&mut self) -> Option<Move> {
        if self.stop.has_begun() {
            return Some(Move::Stop);
        }
        if self.paused {
            return Some(Move::Release(None));
        }
        let why = self.given_up()?.why();
        self.saga.error = self.saga.error.take().or(Some(why));
        self.saga.status = SagaStatus::Stuck;
        Some(self.over())
    }

    fn over(&mut self) -> Move {
        self.saga.finished_at = Some(clock::now());
        Move::Release(None)
    }

    /// The step that only a person can have tried again.
    fn given_up(&self) -> Option<&StepRow> {
        self.steps.iter().find(|row| row.is_given_up())
    }

    async fn begin<'d>(
        &mut self,
        inner: &'d Inner<A>,
        definition: &'d Definition<A>,
        steps: &[usize],
        tries: &mut Tries<'d>,
    ) -> Result<Option<Ended>> {
        let row = |at: &usize| Some((*at, self.steps.get(*at)?.clone()));
        let before: Vec<_> = steps.iter().filter_map(row).collect();
        for at in steps {
            if self.dies(definition, *at, self.way, Point::BeforeIntent, None) {
                return Ok(Some(Ended::Died));
            }
            if let Some(row) = self.steps.get_mut(*at) {
                self.way.begin(row);
            }
        }
        self.changed.extend(steps);
        if let Some(ended) = self.write_changes(definition).await? {
            return Ok(Some(ended));
        }
        self.fresh = false;
        if self.is_to_rest() {
            // So someone asked meanwhile. Nothing was done of it yet.
            for (at, row) in before {
                self.steps.get_mut(at).into_iter().for_each(|now| now.clone_from(&row));
            }
            self.changed.extend(steps);
            return Ok(None);
        }
        self.waits_for = None;
        for &at in steps {
            self.due.remove(&at);
            if let (Some(step), Some(row)) = (definition.steps.get(at), self.steps.get(at)) {
                let step = step.as_ref();
                let saga = inner.hooks.interpose.is_some().then(|| self.saga.clone());
                let one = Try { inner, step, cx: self.cx(step, row), way: self.way, saga };
                tries.push(one.run().map(move |outcome| (at, outcome)).boxed());
            }
        }
        self.under_way.extend(steps);
        Ok(None)
    }

    async fn wait(
        &mut self,
        definition: &Definition<A>,
        until: Option<Duration>,
        tries: &mut Tries<'_>,
    ) -> Result<Option<Ended>> {
        if let Some(ended) = self.write_changes(definition).await? {
            return Ok(Some(ended));
        }
        let tried = match until {
            Some(time) => tokio::time::timeout(time, tries.next()).await.unwrap_or_default(),
            None => tries.next().await,
        };
        let Some((at, outcome)) = tried else { return Ok(None) };
        let Some(outcome) = outcome else { return Ok(Some(Ended::Died)) };
        let tried = Tried::of(&outcome);
        self.under_way.remove(&at);
        if let Some(step) = definition.steps.get(at) {
            self.record(definition.on_failure, step.as_ref(), at, outcome);
        }
        self.changed.insert(at);
        self.ended.push((at, self.way, tried));
        Ok(None)
    }

    /// Writes what changed, if anything did, and holds the saga.
    async fn write_changes(&mut self, definition: &Definition<A>) -> Result<Option<Ended>> {
        if self.changed.is_empty() {
            return Ok(None);
        }
        self.hold_on(definition).await
    }

    /// Writes, and holds the saga.
    async fn hold_on(&mut self, definition: &Definition<A>) -> Result<Option<Ended>> {
        let Some(saved) = self.save(Next::Hold).await? else { return Ok(Some(Ended::LeaseLost)) };
        (self.saga.undo_asked, self.paused) = (saved.undo_asked, saved.paused);
        Ok(self.written(definition))
    }

    /// Writes, and lets go of the saga: for a pause, or because there is nothing more to do. A wish to have it undone
    /// comes first: then it goes on, and turns back.
    async fn let_go(&mut self, definition: &Definition<A>, pause: Option<Duration>) -> Result<Option<Ended>> {
        let waits_for = self.waits_for.filter(|_| pause.is_some());
        if self.save(Next::Release { pause: pause.unwrap_or_default(), waits_for }).await?.is_some() {
            self.tell_end();
            match pause {
                Some(_) => self.inner.hooks.report_waits(&self.steps),
                None if !self.saga.status.is_in_progress() => self.inner.hooks.report_end(self.saga.id),
                None => {}
            }
            return Ok(self.written(definition).or(Some(Ended::Released(pause))));
        }
        if self.saga.cause.is_none() {
            self.saga.status = SagaStatus::Running;
            self.saga.finished_at = None;
        }
        self.hold_on(definition).await
    }

    fn tell_end(&self) {
        let status = self.saga.status.as_str();
        match self.given_up() {
            Some(StepRow { name, error, .. }) if self.saga.status == SagaStatus::Stuck => {
                tracing::error!(step = name, error, "the saga is stuck and needs a person");
            }
            _ if !self.saga.status.is_in_progress() => tracing::info!(status, "the saga has ended"),
            _ => {}
        }
    }

    async fn save(&self, next: Next) -> Result<Option<Saved>> {
        let row = |at: &usize| {
            let row = self.steps.get(*at)?;
            let left = || self.due.get(at).map(|due| due.saturating_duration_since(Instant::now()));
            Some(Changed { row, pause: row.next_attempt_at.map(|_| left().unwrap_or_default()) })
        };
        let changed: Vec<_> = self.changed.iter().filter_map(row).collect();
        insist(|| self.inner.ask(async |c| lease::save(c, &self.saga, &changed, next).await)).await
    }

    /// All that changed is written.
    fn written(&mut self, definition: &Definition<A>) -> Option<Ended> {
        self.changed.clear();
        let ended = std::mem::take(&mut self.ended);
        let died = |(at, way, tried)| self.dies(definition, at, way, Point::AfterRecord, Some(tried));
        let died = ended.into_iter().any(died);
        died.then_some(Ended::Died)
    }

    fn dies(
        &self,
        definition: &Definition<A>,
        at: usize,
        way: Way,
        point: Point,
        tried: Option<Tried>,
    ) -> bool {
        let Some(step) = definition.steps.get(at) else { return false };
        let (saga, undo) = (&self.saga, way == Way::Back);
        let met = self.inner.meet(Moment { saga, step: step.name(), undo, point, tried });
        matches!(met, Verdict::Die)
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
            flow: self.saga.flow.clone(),
            ctx,
            attempt: row.attempts(self.way),
            error: self.saga.error.clone(),
            step: step.name(),
            tries: row.tries(),
            input: self.saga.input.clone(),
            outputs: self.steps.iter().filter_map(output).collect(),
        }
    }
}
