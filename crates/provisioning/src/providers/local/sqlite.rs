//! Targets that are one SQLite file: made, taken over, and opened.
//!
//! The file is named after its id, not its target: SQLite finds a database's log by the path of the database, so a
//! connection that outlives a destroyed database must never meet another one at the same path.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use uuid::Uuid;

use super::durable;
use super::place::{Held, Spot, file_url};
use crate::providers::fault::ErrorContext as _;
use crate::providers::{ObservedState, ProviderError, blocking};

/// How long a statement waits for other connections.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The table that says whose database it is. `_` keeps it apart from a customer's own tables.
const IDENTITY: &str = "CREATE TABLE IF NOT EXISTS _nno (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL
);";

/// Makes the held target's database with the tables of `schema`, or takes over the one that is there.
///
/// `schema` may be run more than once. `now` is in Unix milliseconds.
pub(super) fn ensure(held: &Held, schema: &str, now: i64) -> Result<ObservedState, ProviderError> {
    let id = Uuid::now_v7().to_string();
    held.build(|folder| {
        let path = folder.join(format!("{id}.sqlite"));
        let mut connection = open(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
        claim(&mut connection, schema, &id, now).during(|| format!("making {}", path.display()))?;
        // Moves everything out of the log and removes it, so that the folder holds one file when it is renamed.
        connection.close().map_err(|(_, e)| e).during(|| format!("closing {}", path.display()))
    })?;
    let spot = held.spot();
    let path = find(spot)?.ok_or_else(|| spot.missing())?;
    let mut connection = open(&path, OpenFlags::empty())?;
    if identity(&connection).during(|| format!("reading {}", path.display()))?.is_none() {
        claim(&mut connection, schema, &id, now).during(|| format!("taking over {}", path.display()))?;
    }
    look_at(&connection, &path)?.ok_or_else(|| spot.missing())
}

/// What the target's database says of itself, or `None` if there is none.
pub(super) fn observe(spot: &Spot) -> Result<Option<ObservedState>, ProviderError> {
    loop {
        let Some(path) = find(spot)? else { return Ok(None) };
        match open(&path, OpenFlags::empty()).and_then(|connection| look_at(&connection, &path)) {
            // It was removed while being looked at, and another may be in its place by now.
            Err(_) if !path.exists() => {}
            other => return other,
        }
    }
}

/// The target's database file, or `None` if the target does not exist.
pub(super) fn find(spot: &Spot) -> Result<Option<PathBuf>, ProviderError> {
    if !spot.exists()? {
        return Ok(None);
    }
    let mut files = durable::entries(&spot.folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sqlite"));
    match (files.pop(), files.is_empty()) {
        (Some(path), true) => Ok(Some(path)),
        // Nothing is thrown away that somebody may still want: they have to look.
        _ if spot.exists()? => {
            let folder = spot.folder.display();
            Err(ProviderError::permanent(format!("{folder} must have exactly one file *.sqlite")))
        }
        _ => Ok(None),
    }
}

/// Opens a database, durable at every commit.
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

/// Makes the tables and the identity, keeping what is there.
fn claim(connection: &mut Connection, schema: &str, id: &str, now: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(IDENTITY)?;
    tx.execute_batch(schema)?;
    tx.execute("INSERT OR IGNORE INTO _nno (singleton, id, created_at) VALUES (1, ?1, ?2)", (id, now))?;
    tx.commit()
}

/// The id and the time of creation, if the database has an identity.
fn identity(connection: &Connection) -> rusqlite::Result<Option<(String, i64)>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_nno'";
    if connection.query_row(table, (), |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    connection
        .query_row("SELECT id, created_at FROM _nno", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// What the database at `path` says of itself; `None` if it has not been taken over yet.
fn look_at(connection: &Connection, path: &Path) -> Result<Option<ObservedState>, ProviderError> {
    let found = identity(connection).during(|| format!("reading {}", path.display()))?;
    Ok(found.map(|(id, created_at)| ObservedState {
        provider_id: id,
        url: file_url(path),
        details: serde_json::json!({ "path": path, "createdAt": created_at }),
        owner: None,
    }))
}

/// A target's database, kept open between calls, for as long as it is the same database.
#[derive(Clone, Debug)]
pub(super) struct Database {
    spot: Arc<Spot>,
    open: Arc<Mutex<Option<Open>>>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    path: PathBuf,
    /// Device and file number. The connection keeps the file alive, so no other file can get its number meanwhile.
    file: (u64, u64),
}

impl Database {
    /// The database of the target at `spot`, which need not exist yet.
    pub(super) fn new(spot: Spot) -> Self {
        Self { spot: Arc::new(spot), open: Arc::new(Mutex::new(None)) }
    }

    /// Runs `work` on a thread that may block. Work on one handle is done one after another.
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
            // A panic in earlier work has rolled its transaction back: the connection is sound.
            let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
            let present = match open.take() {
                Some(present) if present.is_current()? => present,
                _ => this.reopen()?,
            };
            let present = open.insert(present);
            let done = work(&mut present.connection);
            done.during(|| format!("using {}", present.path.display()))
        })
        .await
    }

    fn reopen(&self) -> Result<Open, ProviderError> {
        let path = find(&self.spot)?.ok_or_else(|| self.spot.missing())?;
        let connection = open(&path, OpenFlags::empty())?;
        let file = file_number(&path)?.ok_or_else(|| self.spot.missing())?;
        Ok(Open { connection, path, file })
    }
}

impl Open {
    fn is_current(&self) -> Result<bool, ProviderError> {
        Ok(file_number(&self.path)? == Some(self.file))
    }
}

fn file_number(path: &Path) -> Result<Option<(u64, u64)>, ProviderError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).during(|| format!("looking at {}", path.display())),
    }
}
