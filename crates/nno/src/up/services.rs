//! The services of the system, and how they find each other.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context, Result};
use database::migrate;
use futures_util::future::{BoxFuture, FutureExt};
use iam::Iam;
use onboarding::Onboarding;
use provisioning::Provisioning;
use registry::Registry;
use runtime::{
    config::{self, Secret},
    shutdown::Shutdown,
    telemetry::TelemetrySettings,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use service::{Application, Service, Settings};
use stack_registry::StackRegistry;

use super::{port::Reserved, settings::Told};

/// What all services are told.
#[derive(Debug)]
pub(crate) struct Site {
    /// The processes' keys.
    pub(crate) keys: PathBuf,
    /// Where the local provider keeps what it makes.
    pub(crate) provider: PathBuf,
    /// HTTP worker threads of each.
    pub(crate) workers: usize,
    pub(crate) telemetry: TelemetrySettings,
    /// What the settings file says.
    pub(crate) told: Told,
}

impl Site {
    /// What every process is told of it.
    pub(crate) fn decided(&self, bind: SocketAddr) -> Value {
        json!({
            "http": { "bind": bind, "workers": self.workers },
            "identity": { "keys_dir": self.keys },
            "telemetry": self.telemetry,
        })
    }
}

/// A service that could be started.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// The most connections to its database that it opens.
    pub(crate) connections: usize,
    /// Its gRPC port, held as long as this is.
    grpc: Reserved,
    start: Start,
}

type Start = Box<dyn FnOnce(Urls, Shutdown) -> BoxFuture<'static, Result<Application>> + Send>;

/// How a service reaches its database.
#[derive(Debug)]
pub(crate) struct Urls {
    /// As the role that owns the tables and migrates.
    pub(crate) owner: SecretString,
    /// As the role that serves.
    pub(crate) app: SecretString,
}

/// All services, in the order in which they are started: the called before the callers, as far as they do not call
/// each other. Each knows the addresses of the others before any of them runs.
///
/// # Errors
/// When no port is free, or the settings are not what a service takes.
pub(crate) fn plan(site: &Site) -> Result<Vec<Plan>> {
    let port = || Reserved::on_loopback().context("no free port on 127.0.0.1");
    let (stack_registry, registry, provisioning, onboarding) = (port()?, port()?, port()?, port()?);
    let iam = port()?;
    // The data folder is ours alone, so what an earlier process held at its death goes on at once.
    let alone = json!({ "alone": true });
    let of_stack_registry = json!({ "registry": peer(&registry) });
    let of_registry = json!({
        "stack_registry": peer(&stack_registry), "provisioning": peer(&provisioning), "onboarding": peer(&onboarding),
    });
    let of_provisioning = json!({ "registry": peer(&registry), "data_dir": site.provider, "engine": alone });
    let of_onboarding = json!({ "registry": peer(&registry), "provisioning": peer(&provisioning), "iam": peer(&iam), "engine": alone });
    let of_iam = json!({ "registry": peer(&registry) });
    Ok(vec![
        Plan::of::<StackRegistry>(site, stack_registry, of_stack_registry)?,
        Plan::of::<Registry>(site, registry, of_registry)?,
        Plan::of::<Provisioning>(site, provisioning, of_provisioning)?,
        Plan::of::<Onboarding>(site, onboarding, of_onboarding)?,
        Plan::of::<Iam>(site, iam, of_iam)?,
    ])
}

fn peer(grpc: &Reserved) -> Value {
    json!({ "url": format!("http://{}", grpc.address) })
}

impl Plan {
    fn of<S: Service>(site: &Site, grpc: Reserved, own: Value) -> Result<Self> {
        let mut decided = site.decided((Ipv4Addr::LOCALHOST, 0).into());
        let addresses = json!({
            "grpc": { "bind": grpc.address },
            // They are known when PostgreSQL runs.
            "database": { "url": "", "owner_url": "" },
            "service": own,
        });
        config::put_over(&mut decided, addresses);
        let over = site.told.over_defaults(S::NAME, decided)?;
        let mut settings: Settings<S::Own> = config::with_overrides(S::DEFAULTS, over).context(S::NAME)?;
        let database = &settings.database;
        let connections = site.workers * database.pool_per_worker + database.pool_background;
        let start = move |urls: Urls, shutdown| {
            async move {
                let ran = migrate::run(urls.owner.expose_secret(), S::migrations()).await?;
                tracing::info!(service = S::NAME, ran = ran.len(), "migrated");
                settings.database.url = Secret::new(urls.app.expose_secret());
                S::build(settings, shutdown).await
            }
            .boxed()
        };
        Ok(Self { name: S::NAME, connections, grpc, start: Box::new(start) })
    }

    /// Brings the database to the service's schema, and starts the service.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub(crate) async fn start(self, urls: Urls, shutdown: Shutdown) -> Result<Application> {
        // The port is held until the service itself has it.
        let Self { name, start, grpc: _held, .. } = self;
        start(urls, shutdown).await.with_context(|| format!("cannot start {name}"))
    }
}
