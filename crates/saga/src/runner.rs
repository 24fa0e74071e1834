//! Finds sagas that are due, holds them under a lease, and has them driven.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use database::{Db, ReadBody};
use domain::{Error, Result};
use runtime::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{Instrument, field::Empty};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Definition, Hooks, Moment, Saga, Verdict, connection,
    drive::{Drive, Ended},
    due::Due,
    lease::{self, Extended},
};

/// How a service runs its sagas.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// Sagas that run side by side in this process; those that wait for others for long do not count.
    #[schema(minimum = 1, maximum = 1024)]
    pub concurrency: usize,
    /// How long a saga is held without a sign of life; a dead process is succeeded after this.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub lease: Duration,
    /// How often the table is looked at when nothing wakes the engine: what another process let go of, or left behind
    /// when it died, is seen this much later. The engine's own sagas that are due sooner wake it.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub poll: Duration,
    /// No other process runs these sagas: what is held when this one starts is held by the dead, and goes on at once.
    #[serde(default)]
    pub alone: bool,
}

/// Runs the sagas of one service.
pub struct Engine<A> {
    inner: Arc<Inner<A>>,
}

pub(crate) struct Inner<A> {
    pub(crate) db: Db,
    pub(crate) app: A,
    pub(crate) hooks: Hooks,
    definitions: HashMap<String, Definition<A>>,
    known: Vec<String>,
    settings: EngineSettings,
    owner: String,
    wake: Arc<Notify>,
    due: Due,
    /// The flow that had the last turn.
    last_flow: Mutex<String>,
    /// Room for those that are held for long.
    slow: Arc<Semaphore>,
}

impl<A> Inner<A> {
    pub(crate) fn definition(&self, saga: &Saga) -> Result<&Definition<A>> {
        let known = lease::known(&saga.kind, saga.version);
        self.definitions.get(&known).ok_or_else(|| Error::internal(format!("no definition of {known}")))
    }

    /// What a test makes of a moment.
    pub(crate) fn meet(&self, moment: Moment<'_>) -> Verdict {
        self.hooks.interpose.as_ref().map_or(Verdict::Go, |interpose| interpose(moment))
    }

    /// Runs a statement, which is given up when a lease could have run out meanwhile.
    pub(crate) async fn ask<T, F>(&self, statement: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        connection::ask(&self.db, self.settings.lease.max(SHORTEST_ANSWER), statement).await
    }
}

impl<A> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<A> std::fmt::Debug for Engine<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({})", self.inner.owner)
    }
}

/// How long a step under way may go on when the process stops; no longer than a dead process would be waited for.
const GRACE: Duration = Duration::from_secs(5);
/// Most sagas claimed at once, so that what is due is shared with other processes.
const BATCH: usize = 16;
/// A saga that is held for longer gives its slot to another, which is to say that it mostly waits for others. So many
/// times as many as there are slots may do so.
const SLOW: Duration = Duration::from_secs(2);
const SLOW_SHARE: usize = 16;
/// A statement is waited for at least this long, however short the lease.
const SHORTEST_ANSWER: Duration = Duration::from_secs(1);
/// The pause after a fault of the engine's own.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// How often sagas are looked for that this binary cannot run.
const LOOK_FOR_UNKNOWN: Duration = Duration::from_secs(60);
/// Bounds of the settings: below, the engine would do little but keep the database busy.
const LEASE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(24 * 60 * 60));
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60 * 60));

impl<A: Send + Sync + 'static> Engine<A> {
    /// An engine of these kinds of sagas; `wake` is told when one was made, retried, or asked to be undone. Sagas of
    /// other kinds and versions are left to other processes. Settings beyond reason are cut to it.
    pub fn new(
        db: Db,
        app: A,
        settings: EngineSettings,
        wake: Arc<Notify>,
        definitions: Vec<Definition<A>>,
    ) -> Self {
        Self::interposed(db, app, settings, wake, definitions, Hooks::default())
    }

    /// The same with parties that hear from it.
    pub fn interposed(
        db: Db,
        app: A,
        settings: EngineSettings,
        wake: Arc<Notify>,
        definitions: Vec<Definition<A>>,
        hooks: impl Into<Hooks>,
    ) -> Self {
        let definitions: HashMap<_, _> =
            definitions.into_iter().map(|one| (lease::known(one.kind, one.version), one)).collect();
        let known = definitions.keys().cloned().collect();
        debug_assert!(
            definitions.values().all(|one| one.missing().is_empty()),
            "steps need what is not there"
        );
        let settings = EngineSettings {
            concurrency: settings.concurrency.clamp(1, Semaphore::MAX_PERMITS),
            lease: settings.lease.clamp(LEASE.0, LEASE.1),
            poll: settings.poll.clamp(POLL.0, POLL.1),
            alone: settings.alone,
        };
        let owner = format!("{}-{}", db.service(), domain::id::uuid_v7().simple());
        let (due, last_flow) = (Due::default(), Mutex::default());
        let slow = Arc::new(Semaphore::new(
            settings.concurrency.saturating_mul(SLOW_SHARE).min(Semaphore::MAX_PERMITS),
        ));
        Self {
            inner: Arc::new(Inner {
                db,
                app,
                hooks: hooks.into(),
                definitions,
                known,
                settings,
                owner,
                wake,
                due,
                last_flow,
                slow,
            }),
        }
    }

    /// Runs sagas until the process stops.
    pub fn start(&self, shutdown: &Shutdown) {
        let span = tracing::info_span!("engine", owner = self.inner.owner);
        let (engine, stop) = (self.clone(), shutdown.clone());
        let work = async move {
            if engine.inner.settings.alone {
                engine.succeed_the_dead(&stop).await;
            }
            engine.find_work(stop).await;
        };
        shutdown.spawn(work.instrument(span.clone()));
        shutdown.spawn(self.clone().find_unknown(shutdown.clone()).instrument(span));
    }

    /// Ends every lease, when there is no one who could hold one.
    async fn succeed_the_dead(&self, stop: &Shutdown) {
        while !stop.has_begun() {
            match self.inner.ask(async |c| lease::end_all(c).await).await {
                Ok(sagas) => return tracing::info!(sagas, "leases of an earlier process ended"),
                Err(error) => {
                    tracing::warn!(
                        error = error.message(),
                        context = error.log_context(),
                        "cannot end leases"
                    );
                    stop.sleep(self.inner.settings.poll).await;
                }
            }
        }
    }

    /// Runs one saga that is due as far as it goes now; answers whether there was one. For tests.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn turn(&self) -> Result<bool> {
        let (claimed, since) = self.claim(1).await?;
        let found = !claimed.is_empty();
        for saga in claimed {
            self.hold(saga, since, &Shutdown::new()).await;
        }
        Ok(found)
    }

    async fn find_work(self, stop: Shutdown) {
        let slots = Arc::new(Semaphore::new(self.inner.settings.concurrency));
        while let Some(mut free) = free_slots(&slots, &stop).await {
            let most = free.num_permits();
            let (claimed, since) = match self.claim(most).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(
                        error = error.message(),
                        context = error.log_context(),
                        "cannot look for sagas"
                    );
                    (Vec::new(), Instant::now())
                }
            };
            let all = claimed.len() < most;
            for saga in claimed {
                if let Some(slot) = free.split(1) {
                    self.spawn(&stop, saga, since, slot);
                }
            }
            drop(free);
            if all {
                self.rest(&stop).await;
            }
        }
    }

    /// What this binary cannot run is passed by in silence: another version of it may be there. If none is, someone
    /// should know.
    async fn find_unknown(self, stop: Shutdown) {
        while !stop.has_begun() {
            let found = self.inner.ask(async |c| lease::unknown(c, &self.inner.known).await).await;
            for lease::Unknown { kind, version, count } in found.unwrap_or_default() {
                tracing::warn!(kind, version, count, "sagas are due that this binary has no definition of");
            }
            stop.sleep(LOOK_FOR_UNKNOWN).await;
        }
    }

    /// Sagas, and since when they are surely held.
    async fn claim(&self, most: usize) -> Result<(Vec<Saga>, Instant)> {
        let Inner { owner, settings, known, due, last_flow, .. } = &*self.inner;
        due.forget_past();
        let since = Instant::now();
        let after = last_flow.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let claim = async |after: &str| {
            self.inner.ask(async |c| lease::claim(c, owner, settings.lease, known, after, most).await).await
        };
        let mut claimed = claim(&after).await?;
        if claimed.is_empty() && !after.is_empty() {
            // Past the last flow comes the first.
            claimed = claim("").await?;
        }
        let last = claimed.last().map(|saga| saga.flow.clone());
        *last_flow.lock().unwrap_or_else(PoisonError::into_inner) = last.unwrap_or_default();
        Ok((claimed, since))
    }

    async fn rest(&self, stop: &Shutdown) {
        tokio::select! {
            () = self.inner.due.wait(Instant::now() + self.inner.settings.poll) => {}
            () = self.inner.wake.notified() => {}
            () = stop.begun() => {}
        }
    }

    fn spawn(&self, shutdown: &Shutdown, saga: Saga, since: Instant, slot: OwnedSemaphorePermit) {
        let (engine, stop) = (self.clone(), shutdown.clone());
        let span = tracing::info_span!(
            parent: None, "saga", saga = %saga.id, kind = saga.kind, subject = saga.subject,
            request_id = saga.request_id, trace_id = Empty
        );
        runtime::telemetry::continue_trace(&span, saga.traceparent.as_deref());
        let work = async move {
            let mut held = pin!(engine.hold(saga, since, &stop));
            if tokio::time::timeout(SLOW, &mut held).await.is_ok() {
                return;
            }
            // What others take long for keeps nobody from what can be done meanwhile.
            // If there is no more room, the slot is kept after all.
            let room = Arc::clone(&engine.inner.slow).try_acquire_owned().unwrap_or(slot);
            held.await;
            drop(room);
        };
        shutdown.spawn(async move { work.instrument(span).await });
    }

    /// Drives a saga for as long as the lease is kept.
    async fn hold(&self, saga: Saga, since: Instant, stop: &Shutdown) {
        let (id, fence) = (saga.id, saga.fence);
        let Inner { settings, due, .. } = &*self.inner;
        let ended = tokio::select! {
            biased;
            ended = Drive::new(Arc::clone(&self.inner), saga, stop.clone()).run() => ended,
            () = self.keep_lease(id, fence, since) => Ok(Ended::LeaseLost),
            () = async { stop.begun().await; tokio::time::sleep(GRACE.min(settings.lease)).await } => {
                Ok(Ended::Stopped)
            }
        };
        match ended {
            Ok(Ended::Released(Some(pause))) if pause < settings.poll => due.note(Instant::now() + pause),
            // Others may have waited for its end.
            Ok(Ended::Released(None)) => self.inner.wake.notify_one(),
            Ok(Ended::Released(_) | Ended::Died) => {}
            Ok(Ended::LeaseLost) => tracing::warn!("the lease of the saga was lost"),
            Ok(Ended::Stopped) => self.let_go(id, fence, Duration::ZERO).await,
            Err(error) => {
                tracing::error!(
                    error = error.message(),
                    context = error.log_context(),
                    "the saga is left for later"
                );
                self.let_go(id, fence, AFTER_FAULT).await;
            }
        }
    }

    /// Another process need not wait for the lease to run out.
    async fn let_go(&self, id: Uuid, fence: i64, pause: Duration) {
        let released = self.inner.ask(async |c| lease::release(c, id, fence, pause).await).await;
        if let Err(error) = released {
            tracing::warn!(
                error = error.message(),
                context = error.log_context(),
                "the lease has to run out"
            );
        }
    }

    /// Ends when the saga is held by another, or may be because the lease could not be extended in time.
    async fn keep_lease(&self, id: Uuid, fence: i64, since: Instant) {
        let lease = self.inner.settings.lease;
        let (mut good_until, mut pause) = (since + lease, lease / 3);
        loop {
            tokio::time::sleep_until(good_until.min(Instant::now() + pause)).await;
            let begun = Instant::now();
            let extend = self.inner.ask(async |c| lease::extend(c, id, fence, lease).await);
            // The time before it was sent counts: the database reckons from when it got it.
            match tokio::time::timeout_at(good_until.min(begun + lease / 3), extend).await {
                Ok(Ok(Extended { longer: true, .. })) => (good_until, pause) = (begun + lease, lease / 3),
                Ok(Ok(Extended { held: false, .. })) => return,
                _ if Instant::now() >= good_until => return,
                _ => pause = lease / 20,
            }
        }
    }
}

/// As many slots as are free, at least one; nothing when the process stops.
async fn free_slots(slots: &Arc<Semaphore>, stop: &Shutdown) -> Option<OwnedSemaphorePermit> {
    let mut free = tokio::select! {
        biased;
        () = stop.begun() => return None,
        slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
    };
    // No one else takes slots, so there are still as many.
    let more = slots.available_permits().min(BATCH - 1);
    if let Some(more) =
        u32::try_from(more).ok().and_then(|n| Arc::clone(slots).try_acquire_many_owned(n).ok())
    {
        free.merge(more);
    }
    Some(free)
}
