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

/// How long a start is tried again while something that is on its way out is still in the way.
const RETRY: Duration = Duration::from_secs(15);
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster is kept in the folder `postgres/` under it. Made if it does not exist.
    pub data_dir: PathBuf,
    /// The folder of PostgreSQL's programs (`NNO_POSTGRES_BIN`); `None` to look for them, see [`Binaries::find`].
    pub binaries_dir: Option<PathBuf>,
    /// The TCP port on 127.0.0.1; `None` for the one of the last start or, if that is taken, any free one.
    pub port: Option<u16>,
    /// Whether what was committed outlives a crash of the machine. Tests do without, and are faster.
    pub durable: bool,
    /// The most connections at a time.
    pub max_connections: u16,
    /// The password of [`SUPERUSER`]. It is set when the cluster is made, and must stay the same.
    pub superuser_password: SecretString,
}

/// A running PostgreSQL that is ours alone. Stop it with [`Cluster::stop`]; one that is merely dropped is asked to
/// stop too, but nobody waits for it.
#[derive(Debug)]
pub struct Cluster {
    // Before the folder: it must be told to stop before the lock is released.
    postmaster: Postmaster,
    site: Site,
    port: u16,
    /// Where in the log the output of this run begins, in bytes.
    log_start: u64,
}

/// What all starts of one cluster have in common.
#[derive(Debug)]
struct Site {
    settings: Settings,
    folder: Folder,
    binaries: Binaries,
    account: Account,
}

impl Cluster {
    /// Makes the cluster if there is none, and starts it. Stops first whatever an earlier process left running on it.
    ///
    /// # Errors
    /// Any of [`Error`]; each says what to do.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let site = Site::prepare(settings).await?;
        let last = site.folder.port();
        let asked = site.settings.port;
        site.launch(asked, last).await
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection URL of the superuser for a database.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> SecretString {
        self.url(SUPERUSER, &self.site.settings.superuser_password, database)
    }

    /// The connection URL of a role for a database.
    #[must_use]
    pub fn url(&self, role: &str, password: &SecretString, database: &str) -> SecretString {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let (role, password, database) = (encode(role), encode(password.expose_secret()), encode(database));
        SecretString::from(format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port))
    }

    /// Waits until PostgreSQL ends without having been asked to; then call [`Cluster::restart`].
    pub async fn exited(&self) -> Exit {
        let status = self.postmaster.exited().await;
        Exit { status, log_tail: self.site.folder.log_tail(self.log_start) }
    }

    /// Starts it again on the same port, after stopping it if it runs.
    ///
    /// # Errors
    /// [`Error::PortTaken`] if another program has taken the port meanwhile, or as [`Cluster::start`]. It may then be
    /// called again.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.postmaster.stop().await?;
        orphan::stop(&self.site.folder.cluster()).await?;
        let (postmaster, port, log_start) = self.site.try_until_up(Some(self.port), None).await?;
        (self.postmaster, self.port, self.log_start) = (postmaster, port, log_start);
        Ok(())
    }

    /// Stops it: sessions are cut, and what they had not committed is rolled back.
    ///
    /// # Errors
    /// [`Error::Unstoppable`] if it does not end.
    pub async fn stop(self) -> Result<(), Error> {
        self.postmaster.stop().await
    }

    /// Makes a service's database and its roles, or brings them to what they should be. See [`ServiceDatabase`].
    ///
    /// # Errors
    /// [`Error::Name`], or [`Error::Sql`] with what the server said.
    pub async fn ensure_service_database(&self, database: &ServiceDatabase) -> Result<(), Error> {
        ensure_service_database(&self.superuser_url("postgres"), database).await
    }
}

/// Stops what runs in the cluster under a data folder, and removes it **with all its data**. Does nothing if there is
/// none.
///
/// # Errors
/// [`Error::Foreign`] if the folder is not ours, [`Error::AlreadyRunning`] if a living process has it.
pub async fn discard(data_dir: &Path) -> Result<(), Error> {
    let Some(folder) = Folder::open_existing(data_dir)? else { return Ok(()) };
    orphan::stop(&folder.cluster()).await?;
    initdb::remove_half_made(&folder).await?;
    tokio::fs::remove_dir_all(folder.path()).await.map_err(Error::io("cannot remove", folder.path()))
}

impl Site {
    async fn prepare(settings: Settings) -> Result<Self, Error> {
        let folder = Folder::open(&settings.data_dir)?;
        let version = folder.cluster_version()?;
        let wanted = version.as_deref().and_then(|v| v.parse().ok());
        let binaries = Binaries::find(settings.binaries_dir.as_deref(), wanted).await?;
        if let Some(cluster) = version.as_ref().filter(|v| **v != binaries.major().to_string()) {
            let (dir, cluster, found) = (folder.path().to_owned(), cluster.clone(), binaries.major());
            return Err(Error::VersionMismatch { dir, cluster, binaries: binaries.dir().to_owned(), found });
        }
        let account = Account::choose(&folder.cluster())?;
        account.check_access(&binaries, folder.path()).await?;
        initdb::remove_half_made(&folder).await?;
        if version.is_some() {
            orphan::stop(&folder.cluster()).await?;
        } else {
            let password = &settings.superuser_password;
            initdb::run(&folder, &binaries, &account, password, settings.durable).await?;
        }
        Ok(Self { settings, folder, binaries, account })
    }

    async fn launch(self, asked: Option<u16>, last: Option<u16>) -> Result<Cluster, Error> {
        let (postmaster, port, log_start) = self.try_until_up(asked, last).await?;
        self.folder.remember_port(port)?;
        tracing::info!(port, version = self.binaries.major(), folder = %self.folder.path().display(), "PostgreSQL is up");
        Ok(Cluster { postmaster, site: self, port, log_start })
    }

    /// Tries again where the obstacle is one that passes: a port taken between choosing and using it, and (where
    /// they cannot be seen) children of a killed postmaster that have not noticed yet.
    async fn try_until_up(
        &self,
        asked: Option<u16>,
        last: Option<u16>,
    ) -> Result<(Postmaster, u16, u64), Error> {
        let deadline = Instant::now() + RETRY;
        loop {
            let port = port::choose(asked, last)?;
            let error = match self.try_once(port).await {
                Ok((postmaster, log_start)) => return Ok((postmaster, port, log_start)),
                Err(error) => error,
            };
            let Error::Start { tail, .. } = &error else { return Err(error) };
            let port_taken = asked.is_none() && tail.contains("Address already in use");
            let passes = port_taken || tail.contains("pre-existing shared memory block");
            if !passes || Instant::now() >= deadline {
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
        if let Err(why) = postmaster.ready(&cluster).await {
            postmaster.stop().await?;
            let tail = self.folder.log_tail(log_start);
            return Err(Error::Start { why, log: self.folder.log_path(), tail });
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

/// Given on the command line, where nothing in the cluster's own files can override them.
fn server_options(settings: &Settings, port: u16) -> Vec<String> {
    let mut options = vec![format!("port={port}"), format!("max_connections={}", settings.max_connections)];
    let common = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "password_encryption=scram-sha-256",
        "shared_buffers=128MB",
        // Compiling a plan costs more than it saves in short queries.
        "jit=off",
        "timezone=UTC",
        "log_timezone=UTC",
        "log_line_prefix=%m [%p] %u@%d %a ",
        "log_destination=stderr",
        "logging_collector=off",
        // Values are the customers' data.
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
