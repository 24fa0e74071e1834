//! Finds sagas that are due, holds them under a lease, and has them driven.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::Result;
use kit::{Db, shutdown::Shutdown};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, field::Empty};
use utoipa::ToSchema;

use crate::{
    Definition, Saga,
    drive::{Drive, Ended},
    store::{self, Next},
};

/// How a service runs its sagas.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// Sagas that run side by side in this process.
    #[schema(minimum = 1, maximum = 1024)]
    pub concurrency: usize,
    /// How long a saga is held without a sign of life; a dead process is succeeded after this.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub lease: Duration,
    /// How often the table is looked at when nothing wakes the engine.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub poll: Duration,
}

/// Where in a step a test may interfere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before the step is recorded as begun.
    BeforeIntent,
    /// Recorded as begun, no effect yet.
    AfterIntent,
    /// The effect is there, not recorded.
    AfterEffect,
    /// The effect is recorded.
    AfterRecord,
}

/// What a test makes of a point.
#[derive(Debug, Clone)]
pub enum Verdict {
    Go,
    /// Do the effect twice.
    Twice,
    /// The runner is gone, as if its process had been killed.
    Die,
    /// The effect fails with this.
    Fail(domain::Error),
}

/// Interferes, in tests: with the step's name, whether it is undone, and the point.
pub type Interpose = Arc<dyn Fn(&str, bool, Point) -> Verdict + Send + Sync>;

/// Runs the sagas of one service.
pub struct Engine<A> {
    inner: Arc<Inner<A>>,
}

pub(crate) struct Inner<A> {
    pub(crate) db: Db,
    pub(crate) app: A,
    pub(crate) definitions: HashMap<(String, i32), Definition<A>>,
    pub(crate) settings: EngineSettings,
    pub(crate) interpose: Option<Interpose>,
    owner: String,
    wake: Arc<Notify>,
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

/// How long a step under way may go on when the process stops.
const GRACE: Duration = Duration::from_secs(5);

impl<A: Send + Sync + 'static> Engine<A> {
    /// An engine of these kinds of sagas; `wake` is told when one was made.
    pub fn new(db: Db, app: A, settings: EngineSettings, wake: Arc<Notify>, definitions: Vec<Definition<A>>) -> Self {
        Self::interposed(db, app, settings, wake, definitions, None)
    }

    /// The same with something that interferes, for tests.
    pub fn interposed(
        db: Db,
        app: A,
        settings: EngineSettings,
        wake: Arc<Notify>,
        definitions: Vec<Definition<A>>,
        interpose: Option<Interpose>,
    ) -> Self {
        let definitions = definitions.into_iter().map(|one| ((one.kind.to_owned(), one.version), one)).collect();
        let owner = format!("{}-{}", db.service(), domain::id::uuid_v7().simple());
        Self { inner: Arc::new(Inner { db, app, definitions, settings, interpose, owner, wake }) }
    }

    /// Runs sagas until the process stops.
    pub fn start(&self, shutdown: &Shutdown) {
        let (engine, stop) = (self.clone(), shutdown.clone());
        let work = async move {
            let slots = Arc::new(Semaphore::new(engine.inner.settings.concurrency));
            while !stop.has_begun() {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                match engine.claim().await {
                    Ok(Some(saga)) => engine.spawn(&stop, saga, slot),
                    Ok(None) => engine.rest(&stop).await,
                    Err(error) => {
                        tracing::warn!(error = error.message(), context = error.log_context(), "cannot look for sagas");
                        engine.rest(&stop).await;
                    }
                }
            }
        };
        shutdown.spawn(work.instrument(tracing::info_span!("engine", owner = self.inner.owner)));
    }

    /// Runs one saga that is due as far as it goes now; answers whether there was one. For tests.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn turn(&self) -> Result<bool> {
        let Some(saga) = self.claim().await? else { return Ok(false) };
        self.hold(saga, &Shutdown::new()).await;
        Ok(true)
    }

    async fn claim(&self) -> Result<Option<Saga>> {
        let mut connection = self.inner.db.conn().await?;
        store::claim(&mut connection, &self.inner.owner, self.inner.settings.lease).await
    }

    async fn rest(&self, stop: &Shutdown) {
        tokio::select! {
            () = tokio::time::sleep(self.inner.settings.poll) => {}
            () = self.inner.wake.notified() => {}
            () = stop.begun() => {}
        }
    }

    fn spawn(&self, shutdown: &Shutdown, saga: Saga, slot: OwnedSemaphorePermit) {
        let (engine, stop) = (self.clone(), shutdown.clone());
        let span = tracing::info_span!(
            parent: None, "saga", saga = %saga.id, kind = saga.kind, subject = saga.subject,
            request_id = saga.request_id, trace_id = Empty
        );
        kit::telemetry::continue_trace(&span, saga.traceparent.as_deref());
        let work = async move {
            engine.hold(saga, &stop).await;
            drop(slot);
        };
        shutdown.spawn(async move { work.instrument(span).await });
    }

    /// Drives a saga for as long as the lease is kept.
    async fn hold(&self, saga: Saga, stop: &Shutdown) {
        let (id, fence) = (saga.id, saga.fence);
        let mut drive = Drive::new(Arc::clone(&self.inner), saga, stop.clone());
        let ended = tokio::select! {
            ended = drive.run() => ended,
            () = self.keep_lease(id, fence) => Ok(Ended::LeaseLost),
            () = async { stop.begun().await; tokio::time::sleep(GRACE).await } => Ok(Ended::Stopped),
        };
        match ended {
            Ok(Ended::Released | Ended::Died) => {}
            Ok(Ended::LeaseLost) => tracing::warn!("another runner holds the saga"),
            Ok(Ended::Stopped) => self.let_go(drive).await,
            // The lease runs out by itself.
            Err(error) => {
                tracing::warn!(error = error.message(), context = error.log_context(), "the saga is left for later");
            }
        }
    }

    /// Another process may go on at once.
    async fn let_go(&self, drive: Drive<A>) {
        let saga = drive.into_saga();
        if let Ok(mut connection) = self.inner.db.conn().await {
            let _ = store::save(&mut connection, &saga, None, Next::Release(Duration::ZERO)).await;
        }
    }

    /// Ends when the saga is held by another, or may be because the lease could not be extended in time.
    async fn keep_lease(&self, id: uuid::Uuid, fence: i64) {
        let lease = self.inner.settings.lease;
        let mut good_until = tokio::time::Instant::now() + lease;
        loop {
            tokio::time::sleep(lease / 3).await;
            let extend = async {
                let mut connection = self.inner.db.conn().await?;
                store::extend(&mut connection, id, fence, lease).await
            };
            match tokio::time::timeout(lease / 3, extend).await {
                Ok(Ok(true)) => good_until = tokio::time::Instant::now() + lease,
                Ok(Ok(false)) => return,
                _ if tokio::time::Instant::now() >= good_until => return,
                _ => {}
            }
        }
    }
}
