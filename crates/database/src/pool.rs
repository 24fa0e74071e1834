//! Connection pools, one per HTTP worker thread, so that a connection stays on the thread that uses it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool::managed::Pool;
use diesel_async::{
    AsyncPgConnection,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod},
};
use domain::{Error, Result};
use identity::{Caller, RlsContext};
use runtime::{
    config::Secret,
    fair::{FairKey, FairSemaphore},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use utoipa::ToSchema;

use super::{
    connection::{Manager, PooledConn},
    disk::Disk,
};

/// Database settings of a service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database` for the role that serves requests.
    pub url: Secret,
    /// URL for the role that owns the tables. Used only by `migrate`; may be empty otherwise.
    pub owner_url: Secret,
    /// Connections per HTTP worker thread.
    #[schema(minimum = 1, maximum = 100)]
    pub pool_per_worker: usize,
    /// Connections shared by gRPC and the background workers.
    #[schema(minimum = 1, maximum = 100)]
    pub pool_background: usize,
    /// Maximum time that a request waits for a connection.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub acquire_timeout: Duration,
    /// Maximum duration of one statement.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub statement_timeout: Duration,
    /// Maximum time that a statement waits for a row lock.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub lock_timeout: Duration,
    /// Interval between two recounts of the list counters.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub recount_every: Duration,
}

/// The database of this process. Each HTTP worker thread takes its own pool from it.
#[derive(Debug, Clone)]
pub struct Database {
    service: Arc<str>,
    settings: DatabaseSettings,
    wake: Arc<Notify>,
    disk: Arc<Disk>,
}

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Manager>,
    /// One permit per connection, granted fairly: the pool itself serves callers in order of arrival.
    permits: FairSemaphore,
    /// Set while the pool opens a spare connection.
    opening: Arc<AtomicBool>,
    acquire_timeout: Duration,
    service: Arc<str>,
    /// RLS context of the service itself, which sees all rows.
    service_rls: Arc<RlsContext>,
    wake: Arc<Notify>,
    pub(super) disk: Arc<Disk>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({})", self.service)
    }
}

impl Database {
    /// Creates the database of `service` without connecting to it.
    pub fn new(service: &str, settings: &DatabaseSettings) -> Self {
        Self {
            service: service.into(),
            settings: settings.clone(),
            wake: Arc::default(),
            disk: Arc::default(),
        }
    }

    /// Returns the pool of one HTTP worker thread.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn per_worker(&self) -> anyhow::Result<Db> {
        self.pool(self.settings.pool_per_worker)
    }

    /// Returns the pool that gRPC and the background workers share.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn background(&self) -> anyhow::Result<Db> {
        self.pool(self.settings.pool_background)
    }

    /// The pool opens connections on first use, then keeps one spare.
    fn pool(&self, size: usize) -> anyhow::Result<Db> {
        let mut manager = ManagerConfig::default();
        // The default runs `SELECT 1` at every checkout, which halves the reads per second.
        manager.recycling_method = RecyclingMethod::Fast;
        let url = with_options(&self.service, &self.settings)?;
        let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(url, manager);
        let pool = Pool::builder(Manager(manager))
            .max_size(size)
            .wait_timeout(Some(self.settings.acquire_timeout))
            .create_timeout(Some(self.settings.acquire_timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        let service_rls = Arc::clone(Caller::this_service(&self.service).scope.rls_context());
        let permits = FairSemaphore::new(size);
        let acquire_timeout = self.settings.acquire_timeout;
        Ok(Db {
            pool,
            permits,
            opening: Arc::default(),
            acquire_timeout,
            service: Arc::clone(&self.service),
            service_rls,
            wake: Arc::clone(&self.wake),
            disk: Arc::clone(&self.disk),
        })
    }
}

impl Db {
    /// Name of the service that owns the database.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// RLS context of the service itself.
    pub(super) fn service_rls(&self) -> &Arc<RlsContext> {
        &self.service_rls
    }

    /// Wakes the relay of this process to deliver new events.
    pub(super) fn wake_relay(&self) {
        self.wake.notify_one();
    }

    /// Signal that wakes the relay of this process.
    pub(crate) fn relay_wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Returns true if writes currently fail because the disk of the database is full, as far as this process knows.
    pub fn disk_is_full(&self) -> bool {
        self.disk.is_full()
    }

    /// Returns a connection for the service's own work, which sees all rows. Never hold one across a call to another
    /// service.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] if no connection is free in time.
    pub async fn service_conn(&self) -> Result<PooledConn> {
        let connection = self.conn_for(&self.service_rls.fairness_key).await?;
        connection.apply_session(&self.service_rls).await?;
        Ok(connection)
    }

    /// Returns a connection from a caller's share. It keeps the RLS context that was applied to it last.
    pub(super) async fn conn_for(&self, share: &FairKey) -> Result<PooledConn> {
        let permit = tokio::time::timeout(self.acquire_timeout, self.permits.acquire(share, 1))
            .await
            .map_err(|late| Error::unavailable("The database", late))?;
        let connection = self.pool.get().await.map_err(|error| Error::unavailable("The database", error))?;
        self.open_spare();
        Ok(PooledConn::new(connection, permit))
    }

    /// Opens a connection in the background when the last idle one is taken. Opening one takes about 20 ms, which the
    /// next caller would have to wait for.
    fn open_spare(&self) {
        let status = self.pool.status();
        if status.available > 0
            || status.size >= status.max_size
            || self.opening.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (pool, opening) = (self.pool.clone(), Arc::clone(&self.opening));
        tokio::spawn(async move {
            drop(pool.get().await);
            opening.store(false, Ordering::Relaxed);
        });
    }
}

/// Sends the timeouts with the startup message, so that they cost no extra round trip.
fn with_options(service: &str, settings: &DatabaseSettings) -> anyhow::Result<String> {
    let url = settings.url.expose();
    anyhow::ensure!(
        url.starts_with("postgres://") || url.starts_with("postgresql://"),
        "database.url must start with postgres://"
    );
    let mark = if url.contains('?') { '&' } else { '?' };
    let (statement, lock) = (settings.statement_timeout.as_millis(), settings.lock_timeout.as_millis());
    Ok(format!(
        "{url}{mark}application_name={service}&options=-c%20statement_timeout%3D{statement}%20-c%20lock_timeout%3D{lock}\
         %20-c%20idle_in_transaction_session_timeout%3D{statement}"
    ))
}
