use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use embedded_postgres::{Cluster, Settings};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A password with special characters of URLs, SQL and shells.
pub(crate) const PASSWORD: &str = r#"p@ss/w:rd?#%'"\ $é"#;

/// Temporary folder of one test, removed when dropped.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.path().join("postgres")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            data_dir: self.path().to_owned(),
            binaries_dir: None,
            port: None,
            durable: false,
            max_connections: 20,
            superuser_password: PASSWORD.into(),
        }
    }

    pub(crate) async fn start(&self) -> Cluster {
        Cluster::start(self.settings()).await.unwrap()
    }

    /// Starts a cluster that loses no data when it is killed.
    pub(crate) async fn start_durable(&self) -> Cluster {
        Cluster::start(Settings { durable: true, ..self.settings() }).await.unwrap()
    }

    /// Returns the process id in `postmaster.pid`.
    pub(crate) fn postmaster(&self) -> Pid {
        let text = fs::read_to_string(self.folder().join("cluster/postmaster.pid")).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
    }

    /// Returns the folders of interrupted initdb runs.
    pub(crate) fn incomplete(&self) -> Vec<PathBuf> {
        let Ok(entries) = self.folder().read_dir() else { return Vec::new() };
        let entries = entries.map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains("/initdb-")).collect()
    }
}

pub(crate) async fn connect(url: &SecretString) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url.expose_secret(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Returns the first value of the first row.
pub(crate) async fn value(client: &Client, query: &str) -> String {
    let messages = client.simple_query(query).await.unwrap();
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.unwrap().get(0).unwrap().to_owned()
}

/// Returns the message with which PostgreSQL rejected a statement or connection.
pub(crate) fn refusal<T>(result: Result<T, tokio_postgres::Error>) -> String {
    match result {
        Ok(_) => panic!("PostgreSQL did not reject it"),
        Err(error) => error.as_db_error().unwrap().message().to_owned(),
    }
}

pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Returns true if the process runs. A zombie does not.
pub(crate) fn runs(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    kill(pid, None) != Err(Errno::ESRCH) && !stat.is_ok_and(|stat| stat.contains(") Z "))
}
