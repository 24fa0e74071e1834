//! Targets that are a single SQLite file.
//!
//! The file is named after the id of the target and not after its name. SQLite finds the log of a database by its path,
//! so a connection that outlives a destroyed database must never find another database at the same path.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use uuid::Uuid;

use super::durable;
use super::root_dir::{LockedTarget, TargetPaths, file_url};
use crate::providers::error_context::ErrorContext as _;
use crate::providers::{ObservedState, ProviderError, blocking};

/// Time for which a statement waits for other connections.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Table with the identity of the database. The prefix `_` separates it from the tables of customers.
const IDENTITY: &str = "CREATE TABLE IF NOT EXISTS _nno (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL
);";

/// Creates the database of the locked target with the tables of `schema`, or adopts the existing one.
///
/// `schema` must be idempotent. `now` is in Unix milliseconds.
pub(super) fn ensure(target: &LockedTarget, schema: &str, now: i64) -> Result<ObservedState, ProviderError> {
    let id = Uuid::now_v7().to_string();
    target.build(|folder| {
        let path = folder.join(format!("{id}.sqlite"));
        let mut connection = open(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
        claim(&mut connection, schema, &id, now).during(|| format!("creating {}", path.display()))?;
        // Closing the connection merges and removes the log, so that the folder contains one file when it is renamed.
        connection.close().map_err(|(_, e)| e).during(|| format!("closing {}", path.display()))
    })?;
    let paths = target.paths();
    let path = find(paths)?.ok_or_else(|| paths.missing())?;
    let mut connection = open(&path, OpenFlags::empty())?;
    if identity(&connection).during(|| format!("reading {}", path.display()))?.is_none() {
        claim(&mut connection, schema, &id, now).during(|| format!("adopting {}", path.display()))?;
    }
    observe_file(&connection, &path)?.ok_or_else(|| paths.missing())
}

/// Returns the state of the database, or `None` if it does not exist.
pub(super) fn observe(paths: &TargetPaths) -> Result<Option<ObservedState>, ProviderError> {
    loop {
        let Some(path) = find(paths)? else { return Ok(None) };
        match open(&path, OpenFlags::empty()).and_then(|connection| observe_file(&connection, &path)) {
            // The database was removed concurrently; another one may exist by now.
            Err(_) if !path.exists() => {}
            other => return other,
        }
    }
}

/// Returns the path of the database file, or `None` if the target does not exist.
pub(super) fn find(paths: &TargetPaths) -> Result<Option<PathBuf>, ProviderError> {
    if !paths.exists()? {
        return Ok(None);
    }
    let mut files = durable::entries(&paths.folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sqlite"));
    match (files.pop(), files.is_empty()) {
        (Some(path), true) => Ok(Some(path)),
        // Unknown files are not deleted; an operator has to check them.
        _ if paths.exists()? => {
            let folder = paths.folder.display();
            Err(ProviderError::permanent(format!("{folder} must contain exactly one file *.sqlite")))
        }
        _ => Ok(None),
    }
}

/// Opens a database with durable commits.
pub(super) fn open(path: &Path, more: OpenFlags) -> Result<Connection, ProviderError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(connection)
    };
    open().during(|| format!("opening {}", path.display()))
}

/// Creates the tables and the identity, and keeps existing ones.
fn claim(connection: &mut Connection, schema: &str, id: &str, now: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(IDENTITY)?;
    tx.execute_batch(schema)?;
    tx.execute("INSERT OR IGNORE INTO _nno (singleton, id, created_at) VALUES (1, ?1, ?2)", (id, now))?;
    tx.commit()
}

/// Returns the id and the time of creation, if the database has an identity.
fn identity(connection: &Connection) -> rusqlite::Result<Option<(String, i64)>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_nno'";
    if connection.query_row(table, (), |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    connection
        .query_row("SELECT id, created_at FROM _nno", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Returns the state of the database at `path`, or `None` if it has no identity yet.
fn observe_file(connection: &Connection, path: &Path) -> Result<Option<ObservedState>, ProviderError> {
    let found = identity(connection).during(|| format!("reading {}", path.display()))?;
    Ok(found.map(|(id, created_at)| ObservedState {
        provider_id: id,
        url: file_url(path),
        details: serde_json::json!({ "path": path, "createdAt": created_at }),
        owner: None,
    }))
}

/// Handle of the database of a target. Keeps its connection open while the database file stays the same.
#[derive(Clone, Debug)]
pub(super) struct Database {
    paths: Arc<TargetPaths>,
    open: Arc<Mutex<Option<Open>>>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    path: PathBuf,
    /// Device and inode. The open connection keeps the file alive, so no other file can get its inode.
    file: (u64, u64),
}

impl Database {
    /// Creates a handle for the target at `paths`, which need not exist yet.
    pub(super) fn new(paths: TargetPaths) -> Self {
        Self { paths: Arc::new(paths), open: Arc::new(Mutex::new(None)) }
    }

    /// Runs `work` on a thread that may block. Calls on one handle run one at a time.
    ///
    /// # Errors
    ///
    /// Permanent, if the target does not exist.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let this = self.clone();
        blocking(move || {
            // SQLite rolled the transaction back when earlier work panicked, so the connection is usable.
            let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
            let current = match open.take() {
                Some(current) if current.is_current()? => current,
                _ => this.reopen()?,
            };
            let current = open.insert(current);
            let result = work(&mut current.connection);
            result.during(|| format!("using {}", current.path.display()))
        })
        .await
    }

    fn reopen(&self) -> Result<Open, ProviderError> {
        let path = find(&self.paths)?.ok_or_else(|| self.paths.missing())?;
        let connection = open(&path, OpenFlags::empty())?;
        let file = inode_of(&path)?.ok_or_else(|| self.paths.missing())?;
        Ok(Open { connection, path, file })
    }
}

impl Open {
    fn is_current(&self) -> Result<bool, ProviderError> {
        Ok(inode_of(&self.path)? == Some(self.file))
    }
}

fn inode_of(path: &Path) -> Result<Option<(u64, u64)>, ProviderError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).during(|| format!("reading {}", path.display())),
    }
}
