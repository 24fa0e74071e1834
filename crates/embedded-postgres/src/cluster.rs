use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;

use crate::account::Account;
use crate::binaries::Binaries;
use crate::client::connect;
use crate::error::Error;
use crate::folder::Folder;
use crate::postmaster::{Exit, Postmaster};
use crate::service_database::{ServiceDatabase, ensure_service_database};
use crate::{initdb, orphan, port};

/// The name of the role that owns the cluster.
pub const SUPERUSER: &str = "nno";

/// Time for which a start is retried while processes of the last run are still ending.
const RETRY: Duration = Duration::from_secs(15);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Settings of a cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Data folder; the cluster is stored in its subfolder `postgres/`. Created if it does not exist.
    pub data_dir: PathBuf,
    /// Folder of the PostgreSQL programs (`NNO_POSTGRES_BIN`). `None` searches for them, see [`Binaries::find`].
    pub binaries_dir: Option<PathBuf>,
    /// TCP port on 127.0.0.1. `None` selects the port of the last start or, if that is in use, a free one.
    pub port: Option<u16>,
    /// True if committed data survives a crash of the machine. Tests set false, which is faster.
    pub durable: bool,
    /// Maximum number of concurrent connections.
    pub max_connections: u16,
    /// Password of [`SUPERUSER`]. It is set when the cluster is created and cannot be changed later.
    pub superuser_password: SecretString,
}

/// A running PostgreSQL that belongs to this process alone. Stop it with [`Cluster::stop`]. Dropping it also sends the
/// stop signal but does not wait for the end.
#[derive(Debug)]
pub struct Cluster {
    // Declared before the folder, so that its stop signal is sent before the lock is released.
    postmaster: Postmaster,
    context: ClusterContext,
    port: u16,
    /// Offset in the log, in bytes, at which the output of this run begins.
    log_start: u64,
}

/// Values that all starts of one cluster share.
#[derive(Debug)]
struct ClusterContext {
    settings: Settings,
    folder: Folder,
    binaries: Binaries,
    account: Account,
}

impl Cluster {
    /// Starts the cluster. Creates it if it does not exist, and first stops processes that an earlier run left behind.
    ///
    /// # Errors
    /// Any [`Error`]; its message says what to do.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let context = ClusterContext::prepare(settings).await?;
        let last = context.folder.port();
        let requested = context.settings.port;
        context.launch(requested, last).await
    }

    /// Returns the TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the connection URL of the superuser for a database.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> SecretString {
        self.url(SUPERUSER, &self.context.settings.superuser_password, database)
    }

    /// Returns the connection URL of a role for a database.
    #[must_use]
    pub fn url(&self, role: &str, password: &SecretString, database: &str) -> SecretString {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let (role, password, database) = (encode(role), encode(password.expose_secret()), encode(database));
        SecretString::from(format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port))
    }

    /// Waits until PostgreSQL exits unexpectedly. The caller can then [`restart`](Cluster::restart) it.
    pub async fn exited(&self) -> Exit {
        let status = self.postmaster.exited().await;
        Exit { status, log_tail: self.context.folder.log_tail(self.log_start) }
    }

    /// Restarts PostgreSQL on the same port.
    ///
    /// # Errors
    /// [`Error::PortTaken`] if another program uses the port by now, or those of [`Cluster::start`]. The call can be
    /// repeated.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.postmaster.stop().await?;
        orphan::stop(&self.context.folder.cluster()).await?;
        let (postmaster, port, log_start) = self.context.try_until_up(Some(self.port), None).await?;
        (self.postmaster, self.port, self.log_start) = (postmaster, port, log_start);
        Ok(())
    }

    /// Stops PostgreSQL. Open sessions are terminated and their transactions rolled back.
    ///
    /// # Errors
    /// [`Error::Unstoppable`] if it does not exit.
    pub async fn stop(self) -> Result<(), Error> {
        self.postmaster.stop().await
    }

    /// Creates or updates the database of a service and its roles. See [`ServiceDatabase`].
    ///
    /// # Errors
    /// [`Error::Name`], or [`Error::Sql`] with the message of the server.
    pub async fn ensure_service_database(&self, database: &ServiceDatabase) -> Result<(), Error> {
        ensure_service_database(&self.superuser_url("postgres"), database).await
    }
}

/// Stops the cluster in a data folder and deletes it **with all its data**. Does nothing if there is no cluster.
///
/// # Errors
/// [`Error::Foreign`] if the folder belongs to another program, [`Error::AlreadyRunning`] if a running process holds
/// it.
pub async fn discard(data_dir: &Path) -> Result<(), Error> {
    let Some(folder) = Folder::open_existing(data_dir)? else { return Ok(()) };
    orphan::stop(&folder.cluster()).await?;
    initdb::remove_incomplete(&folder).await?;
    tokio::fs::remove_dir_all(folder.path()).await.map_err(Error::io("cannot remove", folder.path()))
}

impl ClusterContext {
    async fn prepare(settings: Settings) -> Result<Self, Error> {
        let folder = Folder::open(&settings.data_dir)?;
        let version = folder.cluster_version()?;
        let preferred = version.as_deref().and_then(|v| v.parse().ok());
        let binaries = Binaries::find(settings.binaries_dir.as_deref(), preferred).await?;
        if let Some(cluster) = version.as_ref().filter(|v| **v != binaries.major().to_string()) {
            let (dir, cluster, found) = (folder.path().to_owned(), cluster.clone(), binaries.major());
            return Err(Error::VersionMismatch { dir, cluster, binaries: binaries.dir().to_owned(), found });
        }
        let account = Account::choose(&folder.cluster())?;
        account.check_access(&binaries, folder.path()).await?;
        initdb::remove_incomplete(&folder).await?;
        if version.is_some() {
            orphan::stop(&folder.cluster()).await?;
        } else {
            let password = &settings.superuser_password;
            initdb::run(&folder, &binaries, &account, password, settings.durable).await?;
        }
        Ok(Self { settings, folder, binaries, account })
    }

    async fn launch(self, requested: Option<u16>, last: Option<u16>) -> Result<Cluster, Error> {
        let (postmaster, port, log_start) = self.try_until_up(requested, last).await?;
        self.folder.remember_port(port)?;
        tracing::info!(port, version = self.binaries.major(), folder = %self.folder.path().display(), "PostgreSQL is up");
        Ok(Cluster { postmaster, context: self, port, log_start })
    }

    /// Starts PostgreSQL and retries after temporary failures: another program took the chosen port first, or children
    /// of a killed postmaster are still exiting (which can only be observed with `/proc`).
    async fn try_until_up(
        &self,
        requested: Option<u16>,
        last: Option<u16>,
    ) -> Result<(Postmaster, u16, u64), Error> {
        let deadline = Instant::now() + RETRY;
        loop {
            let port = port::choose(requested, last)?;
            let error = match self.try_once(port).await {
                Ok((postmaster, log_start)) => return Ok((postmaster, port, log_start)),
                Err(error) => error,
            };
            let Error::Start { tail, .. } = &error else { return Err(error) };
            let port_taken = requested.is_none() && tail.contains("Address already in use");
            let temporary = port_taken || tail.contains("pre-existing shared memory block");
            if !temporary || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn try_once(&self, port: u16) -> Result<(Postmaster, u64), Error> {
        let cluster = self.folder.cluster();
        let (log, log_start) = self.folder.open_log()?;
        let mut command = self.account.command(&self.binaries.postgres());
        command.arg("-D").arg(&cluster);
        for option in server_options(&self.settings, port) {
            command.arg("-c").arg(option);
        }
        let postmaster = Postmaster::spawn(command, log)?;
        if let Err(reason) = postmaster.ready(&cluster).await {
            postmaster.stop().await?;
            let tail = self.folder.log_tail(log_start);
            return Err(Error::Start { reason, log: self.folder.log_path(), tail });
        }
        if let Err(error) = self.log_in(port).await {
            postmaster.stop().await?;
            return Err(error);
        }
        Ok((postmaster, log_start))
    }

    async fn log_in(&self, port: u16) -> Result<(), Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user(SUPERUSER).dbname("postgres");
        config.password(self.settings.superuser_password.expose_secret()).connect_timeout(RETRY);
        match connect(&config).await {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some(&SqlState::INVALID_PASSWORD) => {
                Err(Error::WrongPassword(self.folder.path().to_owned()))
            }
            Err(e) => Err(Error::sql("cannot log in to PostgreSQL")(e)),
        }
    }
}

/// Returns the server options. They are passed on the command line because it takes precedence over the files of the
/// cluster.
fn server_options(settings: &Settings, port: u16) -> Vec<String> {
    let mut options = vec![format!("port={port}"), format!("max_connections={}", settings.max_connections)];
    let common = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "password_encryption=scram-sha-256",
        "shared_buffers=128MB",
        // For short queries, JIT compilation costs more than it saves.
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_line_prefix=%m [%p] %u@%d %a ",
        "log_destination=stderr",
        "logging_collector=off",
        // Parameters may contain customer data.
        "log_parameter_max_length=0",
        "log_parameter_max_length_on_error=0",
    ];
    let durable = [
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "wal_compression=on",
        "max_wal_size=2GB",
        "random_page_cost=1.1",
        "log_min_duration_statement=1s",
        "log_lock_waits=on",
        "log_autovacuum_min_duration=10s",
    ];
    let fast = [
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "wal_level=minimal",
        "max_wal_senders=0",
        "max_wal_size=4GB",
    ];
    options.extend(common.map(str::to_owned));
    if settings.durable {
        options.extend(durable.map(str::to_owned));
    } else {
        options.extend(fast.map(str::to_owned));
    }
    options
}
