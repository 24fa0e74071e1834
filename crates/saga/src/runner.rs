//! The engine: it claims sagas that are due, holds them under a lease and runs their drivers.

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
    Definition, Fault, Hooks, InjectionPoint, Saga, connection,
    driver::{Driver, DriverExit},
    due::Due,
    lease::{self, Extension},
};

/// Settings of a service's saga engine.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// Number of sagas that run concurrently in this process. A saga that runs for more than 2 s does not count.
    #[schema(minimum = 1, maximum = 1024)]
    pub concurrency: usize,
    /// Duration of a lease. When a process dies, another one takes over its sagas after this time.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub lease: Duration,
    /// Polling interval of an idle engine. It is the delay until this process finds a saga that another process has
    /// released or left behind. The engine wakes earlier for its own sagas.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub poll: Duration,
    /// True if no other process runs these sagas. Leases found at the start are then stale, and the engine releases them.
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
    definition_keys: Vec<String>,
    settings: EngineSettings,
    owner: String,
    wake: Arc<Notify>,
    due: Due,
    /// The fairness key of the saga claimed last.
    last_fairness_key: Mutex<String>,
    /// Slots for sagas that run for longer than [`SLOW`].
    slow_slots: Arc<Semaphore>,
}

impl<A> Inner<A> {
    pub(crate) fn definition(&self, saga: &Saga) -> Result<&Definition<A>> {
        let key = lease::definition_key(&saga.kind, saga.version);
        self.definitions.get(&key).ok_or_else(|| Error::internal(format!("no definition of {key}")))
    }

    /// Returns the fault that a test injects at this point.
    pub(crate) fn inject(&self, point: InjectionPoint<'_>) -> Fault {
        self.hooks.fault_injector.as_ref().map_or(Fault::None, |inject| inject(point))
    }

    /// Runs a statement, with the duration of a lease as its time limit.
    pub(crate) async fn run_statement<T, F>(&self, statement: F) -> Result<T>
    where
        F: ReadBody<T>,
    {
        connection::run_with_timeout(&self.db, self.settings.lease.max(MIN_STATEMENT_TIMEOUT), statement)
            .await
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

/// Time for steps in progress to end when the process stops. It is limited by the lease, as for a dead process.
const GRACE: Duration = Duration::from_secs(5);
/// Maximum number of sagas claimed at once, so that processes share the sagas that are due.
const BATCH: usize = 16;
/// A saga that runs for longer mostly waits for other services. It moves to a slow slot and frees its slot.
const SLOW: Duration = Duration::from_secs(2);
/// The number of slow slots per slot.
const SLOW_PER_SLOT: usize = 16;
/// Lower limit of the time limit of statements, however short the lease.
const MIN_STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause of a saga after an error of the engine itself.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// The interval of the search for sagas that this binary cannot run.
const UNKNOWN_KINDS_INTERVAL: Duration = Duration::from_secs(60);
/// Limits of the settings. With lower values, the engine would mainly load the database.
const LEASE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(24 * 60 * 60));
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60 * 60));

impl<A: Send + Sync + 'static> Engine<A> {
    /// Creates an engine for these definitions. Callers notify `wake` after they create, retry, resume or cancel a saga.
    /// The engine leaves sagas of other kinds and versions to other processes. It clamps settings to their limits.
    pub fn new(
        db: Db,
        app: A,
        settings: EngineSettings,
        wake: Arc<Notify>,
        definitions: Vec<Definition<A>>,
    ) -> Self {
        Self::with_hooks(db, app, settings, wake, definitions, Hooks::default())
    }

    /// Creates an engine with listeners.
    pub fn with_hooks(
        db: Db,
        app: A,
        settings: EngineSettings,
        wake: Arc<Notify>,
        definitions: Vec<Definition<A>>,
        hooks: impl Into<Hooks>,
    ) -> Self {
        let definitions: HashMap<_, _> =
            definitions.into_iter().map(|one| (lease::definition_key(one.kind, one.version), one)).collect();
        let definition_keys = definitions.keys().cloned().collect();
        debug_assert!(
            definitions.values().all(|one| one.missing_needs().is_empty()),
            "a step needs one that does not exist"
        );
        let settings = EngineSettings {
            concurrency: settings.concurrency.clamp(1, Semaphore::MAX_PERMITS),
            lease: settings.lease.clamp(LEASE.0, LEASE.1),
            poll: settings.poll.clamp(POLL.0, POLL.1),
            alone: settings.alone,
        };
        let owner = format!("{}-{}", db.service(), domain::id::uuid_v7().simple());
        let (due, last_fairness_key) = (Due::default(), Mutex::default());
        let slow_slots = Arc::new(Semaphore::new(
            settings.concurrency.saturating_mul(SLOW_PER_SLOT).min(Semaphore::MAX_PERMITS),
        ));
        Self {
            inner: Arc::new(Inner {
                db,
                app,
                hooks: hooks.into(),
                definitions,
                definition_keys,
                settings,
                owner,
                wake,
                due,
                last_fairness_key,
                slow_slots,
            }),
        }
    }

    /// Runs sagas until the process stops.
    pub fn start(&self, shutdown: &Shutdown) {
        let span = tracing::info_span!("engine", owner = self.inner.owner);
        let (engine, stop) = (self.clone(), shutdown.clone());
        let work = async move {
            if engine.inner.settings.alone {
                engine.release_stale_leases(&stop).await;
            }
            engine.claim_loop(stop).await;
        };
        shutdown.spawn(work.instrument(span.clone()));
        shutdown.spawn(self.clone().report_unknown_kinds(shutdown.clone()).instrument(span));
    }

    /// Ends every lease; for processes that run alone.
    async fn release_stale_leases(&self, stop: &Shutdown) {
        while !stop.has_begun() {
            match self.inner.run_statement(async |c| lease::release_all(c).await).await {
                Ok(sagas) => return tracing::info!(sagas, "released the leases of an earlier process"),
                Err(error) => {
                    tracing::warn!(
                        error = error.message(),
                        context = error.log_context(),
                        "cannot release stale leases"
                    );
                    stop.sleep(self.inner.settings.poll).await;
                }
            }
        }
    }

    /// Claims one saga that is due and runs it until it ends or has to wait. Returns true if there was one. For tests.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn run_once(&self) -> Result<bool> {
        let (claimed, since) = self.claim(1).await?;
        let found = !claimed.is_empty();
        for saga in claimed {
            self.run_claimed(saga, since, &Shutdown::new()).await;
        }
        Ok(found)
    }

    async fn claim_loop(self, stop: Shutdown) {
        let slots = Arc::new(Semaphore::new(self.inner.settings.concurrency));
        while let Some(mut free) = free_slots(&slots, &stop).await {
            let limit = free.num_permits();
            let (claimed, since) = match self.claim(limit).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    tracing::warn!(
                        error = error.message(),
                        context = error.log_context(),
                        "cannot claim sagas"
                    );
                    (Vec::new(), Instant::now())
                }
            };
            let found_all = claimed.len() < limit;
            for saga in claimed {
                if let Some(slot) = free.split(1) {
                    self.spawn(&stop, saga, since, slot);
                }
            }
            drop(free);
            if found_all {
                self.wait_for_work(&stop).await;
            }
        }
    }

    /// Logs sagas that are due and that this binary cannot run. Another version of the binary may run them; if there is
    /// none, an operator has to know.
    async fn report_unknown_kinds(self, stop: Shutdown) {
        while !stop.has_begun() {
            let found = self
                .inner
                .run_statement(async |c| lease::unknown_kinds(c, &self.inner.definition_keys).await)
                .await;
            for lease::UnknownKind { kind, version, count } in found.unwrap_or_default() {
                tracing::warn!(kind, version, count, "sagas are due for which this binary has no definition");
            }
            stop.sleep(UNKNOWN_KINDS_INTERVAL).await;
        }
    }

    /// Claims sagas. The returned time is before the start of their leases.
    async fn claim(&self, limit: usize) -> Result<(Vec<Saga>, Instant)> {
        let Inner { owner, settings, definition_keys, due, last_fairness_key, .. } = &*self.inner;
        due.remove_past();
        let since = Instant::now();
        let after = last_fairness_key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let claim = async |after: &str| {
            self.inner
                .run_statement(async |c| {
                    lease::claim(c, owner, settings.lease, definition_keys, after, limit).await
                })
                .await
        };
        let mut claimed = claim(&after).await?;
        if claimed.is_empty() && !after.is_empty() {
            // After the last key, start again with the first.
            claimed = claim("").await?;
        }
        let last = claimed.last().map(|saga| saga.fairness_key.clone());
        *last_fairness_key.lock().unwrap_or_else(PoisonError::into_inner) = last.unwrap_or_default();
        Ok((claimed, since))
    }

    async fn wait_for_work(&self, stop: &Shutdown) {
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
            let mut run = pin!(engine.run_claimed(saga, since, &stop));
            if tokio::time::timeout(SLOW, &mut run).await.is_ok() {
                return;
            }
            // A saga that waits for a slow service must not occupy a slot. Without a free slow slot, it keeps its own.
            let permit = Arc::clone(&engine.inner.slow_slots).try_acquire_owned().unwrap_or(slot);
            run.await;
            drop(permit);
        };
        shutdown.spawn(async move { work.instrument(span).await });
    }

    /// Runs the driver of a claimed saga and keeps its lease.
    async fn run_claimed(&self, saga: Saga, since: Instant, stop: &Shutdown) {
        let (id, fence) = (saga.id, saga.fence);
        let Inner { settings, due, .. } = &*self.inner;
        let exit = tokio::select! {
            biased;
            exit = Driver::new(Arc::clone(&self.inner), saga, stop.clone()).run() => exit,
            () = self.keep_lease(id, fence, since) => Ok(DriverExit::LeaseLost),
            () = async { stop.begun().await; tokio::time::sleep(GRACE.min(settings.lease)).await } => {
                Ok(DriverExit::Stopped)
            }
        };
        match exit {
            Ok(DriverExit::Released(Some(pause))) if pause < settings.poll => due.add(Instant::now() + pause),
            // Other sagas may have waited for its end.
            Ok(DriverExit::Released(None)) => self.inner.wake.notify_one(),
            Ok(DriverExit::Released(_) | DriverExit::Crashed) => {}
            Ok(DriverExit::LeaseLost) => tracing::warn!("the lease of the saga was lost"),
            Ok(DriverExit::Stopped) => self.release(id, fence, Duration::ZERO).await,
            Err(error) => {
                tracing::error!(
                    error = error.message(),
                    context = error.log_context(),
                    "the engine failed and will retry the saga later"
                );
                self.release(id, fence, AFTER_FAULT).await;
            }
        }
    }

    /// Releases the lease, so that another process need not wait until it expires.
    async fn release(&self, id: Uuid, fence: i64, pause: Duration) {
        let released = self.inner.run_statement(async |c| lease::release(c, id, fence, pause).await).await;
        if let Err(error) = released {
            tracing::warn!(
                error = error.message(),
                context = error.log_context(),
                "cannot release the lease, which will expire"
            );
        }
    }

    /// Extends the lease until another process holds the saga, or may hold it because no extension succeeded in time.
    async fn keep_lease(&self, id: Uuid, fence: i64, since: Instant) {
        let lease = self.inner.settings.lease;
        let (mut good_until, mut pause) = (since + lease, lease / 3);
        loop {
            tokio::time::sleep_until(good_until.min(Instant::now() + pause)).await;
            let sent = Instant::now();
            let extend = self.inner.run_statement(async |c| lease::extend(c, id, fence, lease).await);
            // The database counts the lease from the execution of the statement, which is after `sent`.
            match tokio::time::timeout_at(good_until.min(sent + lease / 3), extend).await {
                Ok(Ok(Extension { extended: true, .. })) => (good_until, pause) = (sent + lease, lease / 3),
                Ok(Ok(Extension { is_held: false, .. })) => return,
                _ if Instant::now() >= good_until => return,
                _ => pause = lease / 20,
            }
        }
    }
}

/// Waits for a free slot and takes up to [`BATCH`] free slots; `None` when the process stops.
async fn free_slots(slots: &Arc<Semaphore>, stop: &Shutdown) -> Option<OwnedSemaphorePermit> {
    let mut free = tokio::select! {
        biased;
        () = stop.begun() => return None,
        slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
    };
    // No other task takes slots, so the number of permits cannot have decreased.
    let more = slots.available_permits().min(BATCH - 1);
    if let Some(more) =
        u32::try_from(more).ok().and_then(|n| Arc::clone(slots).try_acquire_many_owned(n).ok())
    {
        free.merge(more);
    }
    Some(free)
}
