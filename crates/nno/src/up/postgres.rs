//! The embedded PostgreSQL: its start, its databases, and its restart after a crash.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use embedded_postgres::{Cluster, ServiceDatabase, Settings};
use runtime::shutdown::Shutdown;
use tokio::time::Instant;

use super::{
    console::Console,
    data_folder::DataFolder,
    services::{DatabaseUrls, ServicePlan},
};

/// Connections in addition to those of the services: three for superusers, those of migrations, and some for people.
const RESERVED_CONNECTIONS: usize = 20;
/// Attempts to restart PostgreSQL before giving up.
const MAX_ATTEMPTS: u32 = 5;
/// Uptime after which the attempts are counted from zero again.
const STABLE_UPTIME: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Starts the cluster in the data folder, with enough connections for all of these services.
///
/// # Errors
/// When PostgreSQL is not installed or does not start. The message says what to do.
pub(crate) async fn start(
    folder: &DataFolder,
    binaries_dir: Option<PathBuf>,
    plans: &[ServicePlan],
) -> Result<Cluster> {
    let connections = plans.iter().map(|plan| plan.connections).sum::<usize>() + RESERVED_CONNECTIONS;
    let max_connections = u16::try_from(connections).context("the services need too many connections")?;
    let settings = Settings {
        data_dir: folder.path().to_owned(),
        binaries_dir,
        port: None,
        durable: true,
        max_connections,
        superuser_password: folder.secret("postgres")?,
    };
    Ok(Cluster::start(settings).await?)
}

/// Creates the database and the roles of a service if they do not exist.
///
/// # Errors
/// When PostgreSQL rejects a statement.
pub(crate) async fn ensure_database(
    cluster: &Cluster,
    folder: &DataFolder,
    service: &str,
) -> Result<DatabaseUrls> {
    let owner_password = folder.secret(&format!("{service}-owner"))?;
    let app_password = folder.secret(&format!("{service}-app"))?;
    let database = ServiceDatabase::of_service(service, owner_password, app_password);
    cluster.ensure_service_database(&database).await?;
    Ok(DatabaseUrls {
        owner: cluster.url(&database.owner, &database.owner_password, &database.name),
        app: cluster.url(&database.app, &database.app_password, &database.name),
    })
}

/// Restarts PostgreSQL whenever it exits, on the same port, so that the connection pools find it again. Returns when
/// `stop` begins.
///
/// # Errors
/// When PostgreSQL does not stay up.
pub(crate) async fn supervise(cluster: &mut Cluster, stop: &Shutdown, console: &Console) -> Result<()> {
    let mut attempts = 0;
    loop {
        let up_since = Instant::now();
        let exit = tokio::select! {
            exit = cluster.exited() => exit,
            () = stop.begun() => return Ok(()),
        };
        if up_since.elapsed() > STABLE_UPTIME {
            attempts = 0;
        }
        tracing::error!(%exit, "PostgreSQL exited unexpectedly");
        console.notice("PostgreSQL exited unexpectedly and is being restarted.");
        restart(cluster, stop, &mut attempts).await?;
        if stop.has_begun() {
            return Ok(());
        }
        tracing::info!(attempts, port = cluster.port(), "PostgreSQL is running again");
        console.notice("PostgreSQL is running again.");
    }
}

/// Retries with doubling pauses. An attempt in progress when `stop` begins runs to its end, because a PostgreSQL that is
/// starting cannot be waited for otherwise.
async fn restart(cluster: &mut Cluster, stop: &Shutdown, attempts: &mut u32) -> Result<()> {
    loop {
        if *attempts > 0 {
            stop.sleep(FIRST_PAUSE * (1 << *attempts)).await;
        }
        if stop.has_begun() {
            return Ok(());
        }
        *attempts += 1;
        match cluster.restart().await {
            Ok(()) if *attempts <= MAX_ATTEMPTS => return Ok(()),
            Ok(()) => bail!("PostgreSQL does not stay up; see postgres/postgres.log in the data folder"),
            Err(error) if *attempts < MAX_ATTEMPTS => {
                tracing::warn!(attempts, error = error.to_string(), "PostgreSQL did not start")
            }
            Err(error) => return Err(error).context("PostgreSQL cannot be started again"),
        }
    }
}
