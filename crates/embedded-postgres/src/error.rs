use std::io;
use std::path::{Path, PathBuf};

/// Error of a cluster. Where the user can fix it, the message says how.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "PostgreSQL {minimum} or newer was not found (searched {searched}). Install it (Debian, Ubuntu: `apt-get \
         install postgresql`; Fedora: `dnf install postgresql-server`; macOS: `brew install postgresql`), or set \
         NNO_POSTGRES_BIN to the folder that contains `initdb` and `postgres`"
    )]
    BinariesNotFound { minimum: u32, searched: String },

    #[error("{dir} cannot be used as the folder of PostgreSQL's programs (NNO_POSTGRES_BIN): {reason}")]
    BinariesUnusable { dir: PathBuf, reason: String },

    #[error("another process already runs the cluster in {0}; stop it first, or choose another data folder")]
    AlreadyRunning(PathBuf),

    #[error(
        "{0} is not empty and was not created by this program; choose another data folder, or move it away"
    )]
    Foreign(PathBuf),

    #[error(
        "the cluster in {dir} was created by PostgreSQL {cluster}, but the programs in {binaries} are version {found}; \
         install PostgreSQL {cluster} as well, set NNO_POSTGRES_BIN to its programs, or convert the cluster with \
         pg_upgrade"
    )]
    VersionMismatch { dir: PathBuf, cluster: String, binaries: PathBuf, found: u32 },

    #[error(
        "PostgreSQL runs as user {user}, which cannot enter {dir}; allow it (`chmod o+x {dir}`), or choose a data \
         folder elsewhere, such as /var/lib/nno"
    )]
    NotTraversable { dir: PathBuf, user: String },

    #[error(
        "PostgreSQL runs as user {user}, which cannot execute {program}; make it accessible to all users (`chmod -R o+rX`), \
         or set NNO_POSTGRES_BIN to accessible programs: {source}"
    )]
    NotExecutable { program: PathBuf, user: String, source: io::Error },

    #[error(
        "{dir} belongs to user id {owner}, but PostgreSQL would run as {user}; start as that user or as root, or change \
         the owner (`chown -R {user} {dir}`)"
    )]
    Owner { dir: PathBuf, owner: u32, user: String },

    #[error("port {0} on 127.0.0.1 is in use; free it, or choose another port")]
    PortTaken(u16),

    #[error("initdb failed:\n{0}")]
    Initdb(String),

    #[error("PostgreSQL did not start ({reason}); the end of {log}:\n{tail}")]
    Start { reason: String, log: PathBuf, tail: String },

    #[error(
        "the cluster in {0} was created with a different superuser password; restore the original secrets, or remove \
         the folder, which deletes its data"
    )]
    WrongPassword(PathBuf),

    #[error("the PostgreSQL process {0} did not exit after SIGKILL")]
    Unstoppable(i32),

    #[error("{name:?} is not a valid {what}: {reason}")]
    Name { what: &'static str, name: String, reason: &'static str },

    #[error("{what}: {}", describe(.source))]
    Sql { what: String, source: tokio_postgres::Error },

    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

impl Error {
    /// Returns a function for `map_err` that adds the failed operation and its path.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// Returns a function for `map_err` that adds the failed operation.
    pub(crate) fn sql(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Sql { what: what.into(), source }
    }
}

/// Returns the message of the server if there is one: `tokio_postgres::Error` itself displays only "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(server_error) = error.as_db_error() {
        return server_error.to_string();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
