use std::io;
use std::path::{Path, PathBuf};

/// Why the cluster cannot be used. Every message says what to do about it, where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL {minimum} or newer was found (looked in {looked}). Install it (Debian, Ubuntu: `apt-get \
         install postgresql`; Fedora: `dnf install postgresql-server`; macOS: `brew install postgresql`), or set \
         NNO_POSTGRES_BIN to the folder that holds `initdb` and `postgres`"
    )]
    BinariesNotFound { minimum: u32, looked: String },

    #[error("{dir} cannot be used as the folder of PostgreSQL's programs (NNO_POSTGRES_BIN): {reason}")]
    BinariesUnusable { dir: PathBuf, reason: String },

    #[error("another process already runs on {0}; stop it first, or choose another data folder")]
    AlreadyRunning(PathBuf),

    #[error("{0} is not empty and was not made by this program; choose another data folder, or move it away")]
    Foreign(PathBuf),

    #[error(
        "the cluster in {dir} was made by PostgreSQL {cluster}, but the programs in {binaries} are version {found}; \
         install PostgreSQL {cluster} beside it or set NNO_POSTGRES_BIN to its programs (or convert the cluster with \
         pg_upgrade)"
    )]
    VersionMismatch { dir: PathBuf, cluster: String, binaries: PathBuf, found: u32 },

    #[error(
        "PostgreSQL will run as user {user}, who may not enter {dir}; allow it (`chmod o+x {dir}`), or choose a data \
         folder elsewhere, such as /var/lib/nno"
    )]
    NotTraversable { dir: PathBuf, user: String },

    #[error(
        "PostgreSQL will run as user {user}, who may not run {program}; make it readable to all (`chmod -R o+rX`), or \
         set NNO_POSTGRES_BIN to programs that are: {source}"
    )]
    NotExecutable { program: PathBuf, user: String, source: io::Error },

    #[error(
        "{dir} belongs to user id {owner}, but PostgreSQL would run as {user}; start as that user or as root, or give \
         the folder away (`chown -R {user} {dir}`)"
    )]
    Owner { dir: PathBuf, owner: u32, user: String },

    #[error("port {0} on 127.0.0.1 is in use; free it, or choose another")]
    PortTaken(u16),

    #[error("initdb failed:\n{0}")]
    Initdb(String),

    #[error("PostgreSQL did not start ({why}); the end of {log}:\n{tail}")]
    Start { why: String, log: PathBuf, tail: String },

    #[error(
        "the cluster in {0} was made with another superuser password; restore the secrets it was made with, or (losing \
         its data) remove the folder"
    )]
    WrongPassword(PathBuf),

    #[error("PostgreSQL process {0} did not end, not even when killed")]
    Unstoppable(i32),

    #[error("{name:?} is not a usable {what}: {reason}")]
    Name { what: &'static str, name: String, reason: &'static str },

    #[error("{what}: {}", describe(.source))]
    Sql { what: String, source: tokio_postgres::Error },

    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

impl Error {
    /// For `map_err`: what was being done, and to which path.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    /// For `map_err`: what was being done.
    pub(crate) fn sql(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Sql { what: what.into(), source }
    }
}

/// `tokio_postgres::Error` says only "db error"; what the server said is in its source.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return answer.to_string();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
