//! Routes: the targets of host names.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use uuid::Uuid;

use super::durable;
use super::root_dir::RootDir;
use super::sqlite;
use crate::providers::error_context::ErrorContext as _;
use crate::providers::{Clock, DestroyOutcome, HostName, ObservedState, Owner, ProviderError, blocking};

const FILE: &str = "dns.sqlite";

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS routes (
    hostname TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    target TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    owner TEXT
);";

/// Checks for the column `owner`, which tables of older versions lack.
const HAS_OWNERS: &str = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('routes') WHERE name = 'owner')";

/// The routes table. Cheap to clone; its clones share one connection.
#[derive(Clone, Debug)]
pub struct Routes {
    connection: Arc<Mutex<Connection>>,
    clock: Clock,
}

/// Host name and its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The host name.
    pub hostname: String,
    /// A host name, or the name of a worker or pages.
    pub target: String,
}

impl Routes {
    /// Opens the table in the root folder. Creates it if it does not exist.
    pub(super) fn open(root: &RootDir, clock: Clock) -> Result<Self, ProviderError> {
        let path = root.path().join(FILE);
        // Concurrent creation of the same database by two processes would fail.
        let _lock = root.lock(FILE)?;
        let connection = sqlite::open(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
        create(&connection, &path)?;
        durable::sync_folder(root.path()).during(|| format!("writing {}", root.path().display()))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), clock })
    }

    /// Returns the target of `hostname`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if SQLite fails.
    pub async fn resolve(&self, hostname: &HostName) -> Result<Option<String>, ProviderError> {
        let (this, hostname) = (self.clone(), hostname.clone());
        blocking(move || {
            this.with(|connection| {
                connection
                    .prepare_cached("SELECT target FROM routes WHERE hostname = ?1")?
                    .query_row([hostname.as_str()], |row| row.get(0))
                    .optional()
            })
        })
        .await
    }

    /// Returns all routes, ordered by host name.
    ///
    /// # Errors
    ///
    /// [`ProviderError`] if SQLite fails.
    pub async fn all(&self) -> Result<Vec<Route>, ProviderError> {
        let this = self.clone();
        blocking(move || {
            this.with(|connection| {
                connection
                    .prepare_cached("SELECT hostname, target FROM routes ORDER BY hostname")?
                    .query_map((), |row| Ok(Route { hostname: row.get(0)?, target: row.get(1)? }))?
                    .collect()
            })
        })
        .await
    }

    /// Points `hostname` to `target` for `owner`.
    pub(super) fn ensure(
        &self,
        owner: &Owner,
        hostname: &str,
        target: &str,
    ) -> Result<ObservedState, ProviderError> {
        let text = serde_json::to_string(owner).during(|| format!("using {FILE}"))?;
        let (id, now) = (Uuid::now_v7().to_string(), self.clock.now());
        self.with(|connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let present = tx.query_row(SELECT, [hostname], observed).optional()?;
            if present.and_then(|present| present.owner).is_some_and(|found| !found.is(owner)) {
                return Ok(Err(ProviderError::owned_by_another(hostname)));
            }
            tx.execute(
                "INSERT INTO routes (hostname, id, target, created_at, updated_at, owner)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5)
                 ON CONFLICT (hostname) DO UPDATE SET target = excluded.target,
                     owner = coalesce(owner, excluded.owner),
                     updated_at = iif(target = excluded.target, updated_at, excluded.updated_at)
                 WHERE target <> excluded.target OR owner IS NULL",
                (hostname, id, target, now, text),
            )?;
            let observed = tx.query_row(SELECT, [hostname], observed)?;
            tx.commit()?;
            Ok(Ok(observed))
        })?
    }

    /// Removes the route of `hostname` if it belongs to the owner.
    pub(super) fn destroy(&self, owner: &Owner, hostname: &str) -> Result<DestroyOutcome, ProviderError> {
        self.with(|connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let Some(present) = tx.query_row(SELECT, [hostname], observed).optional()? else {
                return Ok(DestroyOutcome::Absent);
            };
            if !present.owner.is_some_and(|found| found.is(owner)) {
                return Ok(DestroyOutcome::NotOurs);
            }
            tx.execute("DELETE FROM routes WHERE hostname = ?1", [hostname])?;
            tx.commit()?;
            Ok(DestroyOutcome::Removed)
        })
    }

    /// Returns the state of the route of `hostname`.
    pub(super) fn observe(&self, hostname: &str) -> Result<Option<ObservedState>, ProviderError> {
        self.with(|connection| connection.query_row(SELECT, [hostname], observed).optional())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, ProviderError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).during(|| format!("using {FILE}"))
    }
}

const SELECT: &str = "SELECT id, target, created_at, updated_at, owner FROM routes WHERE hostname = ?1";

fn observed(row: &rusqlite::Row<'_>) -> rusqlite::Result<ObservedState> {
    let (target, owner): (String, Option<String>) = (row.get(1)?, row.get(4)?);
    // Routes of older versions have no owner. The worker that such a route points to determines it.
    let owner = match owner {
        Some(text) => serde_json::from_str(&text).ok(),
        None => Owner::derived(&target),
    };
    let details = serde_json::json!({
        "target": target,
        "createdAt": row.get::<_, i64>(2)?,
        "updatedAt": row.get::<_, i64>(3)?,
    });
    Ok(ObservedState { owner, ..ObservedState::new(row.get::<_, String>(0)?, details) })
}

fn create(connection: &Connection, path: &Path) -> Result<(), ProviderError> {
    let create = || {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(SCHEMA)?;
        if connection.query_row(HAS_OWNERS, (), |row| row.get(0))? {
            return Ok(());
        }
        connection.execute_batch("ALTER TABLE routes ADD COLUMN owner TEXT")
    };
    create().during(|| format!("creating {}", path.display()))
}
