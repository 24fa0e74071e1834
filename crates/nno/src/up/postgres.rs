//! The embedded PostgreSQL: its start, its databases, and its return when it dies.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use embedded_postgres::{Cluster, ServiceDatabase, Settings};
use runtime::shutdown::Shutdown;
use tokio::time::Instant;

use super::{
    folder::DataFolder,
    services::{Plan, Urls},
};

/// Connections beyond those of the services: three for superusers, those of migrations, and some for people.
const RESERVE: usize = 20;
/// How often PostgreSQL is started again before we give up.
const TRIES: u32 = 5;
/// Having run for so long, it counts as well again.
const WELL: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Starts the cluster in the data folder, large enough for all of these services.
///
/// # Errors
/// Each says what to do.
pub(crate) async fn start(
    folder: &DataFolder,
    binaries_dir: Option<PathBuf>,
    plans: &[Plan],
) -> Result<Cluster> {
    let wanted = plans.iter().map(|plan| plan.connections).sum::<usize>() + RESERVE;
    let max_connections = u16::try_from(wanted).context("the services want too many connections")?;
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

/// Makes the database and the roles of a service, or finds them there.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn database(cluster: &Cluster, folder: &DataFolder, service: &str) -> Result<Urls> {
    let owner_password = folder.secret(&format!("{service}-owner"))?;
    let app_password = folder.secret(&format!("{service}-app"))?;
    let database = ServiceDatabase::of_service(service, owner_password, app_password);
    cluster.ensure_service_database(&database).await?;
    Ok(Urls {
        owner: cluster.url(&database.owner, &database.owner_password, &database.name),
        app: cluster.url(&database.app, &database.app_password, &database.name),
    })
}

/// Starts PostgreSQL again whenever it dies, on the same port, so that the pools of the services find it again. Ends
/// when `stop` begins.
///
/// # Errors
/// When it does not stay up.
pub(crate) async fn keep_up(cluster: &mut Cluster, stop: &Shutdown) -> Result<()> {
    let mut tries = 0;
    loop {
        let up_since = Instant::now();
        let exit = tokio::select! {
            exit = cluster.exited() => exit,
            () = stop.begun() => return Ok(()),
        };
        if up_since.elapsed() > WELL {
            tries = 0;
        }
        tracing::error!(%exit, "PostgreSQL died");
        start_again(cluster, stop, &mut tries).await?;
        if stop.has_begun() {
            return Ok(());
        }
        tracing::info!(tries, port = cluster.port(), "PostgreSQL is up again");
    }
}

/// Tries with longer and longer pauses. A try that is under way when `stop` begins comes to its end: a PostgreSQL that
/// is starting could not be waited for otherwise.
async fn start_again(cluster: &mut Cluster, stop: &Shutdown, tries: &mut u32) -> Result<()> {
    loop {
        if *tries > 0 {
            stop.sleep(FIRST_PAUSE * (1 << *tries)).await;
        }
        if stop.has_begun() {
            return Ok(());
        }
        *tries += 1;
        match cluster.restart().await {
            Ok(()) if *tries <= TRIES => return Ok(()),
            Ok(()) => bail!("PostgreSQL does not stay up; see postgres/postgres.log in the data folder"),
            Err(error) if *tries < TRIES => {
                tracing::warn!(tries, error = error.to_string(), "PostgreSQL did not start")
            }
            Err(error) => return Err(error).context("PostgreSQL cannot be started again"),
        }
    }
}
