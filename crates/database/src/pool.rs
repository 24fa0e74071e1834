//! Connections. One pool per HTTP worker thread, so that a connection lives where it is used.

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
    disk::Disk,
    sighted::{Manager, PooledConn},
};

/// The database of a service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database` of the role that serves.
    pub url: Secret,
    /// The same of the role that owns the tables; used by `migrate` alone, and may be empty elsewhere.
    pub owner_url: Secret,
    /// Connections of each HTTP worker thread.
    #[schema(minimum = 1, maximum = 100)]
    pub pool_per_worker: usize,
    /// Connections of gRPC and of the background workers together.
    #[schema(minimum = 1, maximum = 100)]
    pub pool_background: usize,
    /// How long a request waits for a connection.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub statement_timeout: Duration,
    /// How long a statement waits for a row that another holds.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub lock_timeout: Duration,
    /// How often the counters of lists begin to be compared with what they count.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub recount_every: Duration,
}

/// The database of this process, of which every HTTP worker thread takes its own pool.
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
    /// One permit per connection: the pool itself would give connections to whoever came first.
    permits: FairSemaphore,
    /// Set while a connection is opened ahead of need.
    opening: Arc<AtomicBool>,
    acquire_timeout: Duration,
    service: Arc<str>,
    /// What the service itself sees: all.
    own_sight: Arc<RlsContext>,
    wake: Arc<Notify>,
    pub(super) disk: Arc<Disk>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({})", self.service)
    }
}

impl Database {
    /// The database of `service`; nothing is connected yet.
    pub fn new(service: &str, settings: &DatabaseSettings) -> Self {
        Self {
            service: service.into(),
            settings: settings.clone(),
            wake: Arc::default(),
            disk: Arc::default(),
        }
    }

    /// The pool of one HTTP worker thread.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn per_worker(&self) -> anyhow::Result<Db> {
        self.pool(self.settings.pool_per_worker)
    }

    /// The pool that gRPC and the background workers share.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn background(&self) -> anyhow::Result<Db> {
        self.pool(self.settings.pool_background)
    }

    /// Connections are opened when they are first needed, and then one ahead of need.
    fn pool(&self, size: usize) -> anyhow::Result<Db> {
        let mut manager = ManagerConfig::default();
        // The default asks `SELECT 1` at every checkout, which halves the reads per second.
        manager.recycling_method = RecyclingMethod::Fast;
        let url = with_options(&self.service, &self.settings)?;
        let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(url, manager);
        let pool = Pool::builder(Manager(manager))
            .max_size(size)
            .wait_timeout(Some(self.settings.acquire_timeout))
            .create_timeout(Some(self.settings.acquire_timeout))
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        let own_sight = Arc::clone(Caller::this_service(&self.service).scope.rls_context());
        let permits = FairSemaphore::new(size);
        let acquire_timeout = self.settings.acquire_timeout;
        Ok(Db {
            pool,
            permits,
            opening: Arc::default(),
            acquire_timeout,
            service: Arc::clone(&self.service),
            own_sight,
            wake: Arc::clone(&self.wake),
            disk: Arc::clone(&self.disk),
        })
    }
}

impl Db {
    /// The service whose database it is.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// What the service itself sees.
    pub(super) fn own_sight(&self) -> &Arc<RlsContext> {
        &self.own_sight
    }

    /// Tells the relay of this process that there is something to deliver.
    pub(super) fn wake_relay(&self) {
        self.wake.notify_one();
    }

    /// What the relay of this process is woken by.
    pub(crate) fn relay_wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Whether writes fail because the disk of the database is full, as far as this process knows.
    pub fn disk_is_full(&self) -> bool {
        self.disk.is_full()
    }

    /// A connection for the service's own work, which sees all rows. Never hold one across a call to another service.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when none is to be had in time.
    pub async fn own_conn(&self) -> Result<PooledConn> {
        let connection = self.conn_for(&self.own_sight.fairness_key).await?;
        connection.tell(&self.own_sight).await?;
        Ok(connection)
    }

    /// A connection that sees whatever it was told to see last, out of the share of a caller.
    pub(super) async fn conn_for(&self, share: &FairKey) -> Result<PooledConn> {
        let permit = tokio::time::timeout(self.acquire_timeout, self.permits.acquire(share, 1))
            .await
            .map_err(|late| Error::unavailable("The database", late))?;
        let connection = self.pool.get().await.map_err(|error| Error::unavailable("The database", error))?;
        self.open_spare();
        Ok(PooledConn::new(connection, permit))
    }

    /// Opens a connection in the background when the last idle one was taken. Opening takes some twenty milliseconds, which
    /// the next caller would wait for.
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

/// The timeouts travel with the connection's start, so that they cost no round trip.
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
