//! The services of the system and their addresses.

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

use super::{port::ReservedPort, settings::FileSettings};

/// Settings that all processes share.
#[derive(Debug)]
pub(crate) struct SharedSettings {
    /// Folder of the processes' signing keys.
    pub(crate) keys_dir: PathBuf,
    /// Folder of the local provider.
    pub(crate) provider_dir: PathBuf,
    /// HTTP worker threads of each process.
    pub(crate) workers: usize,
    pub(crate) telemetry: TelemetrySettings,
    pub(crate) file: FileSettings,
}

impl SharedSettings {
    /// Returns the settings of a process that `nno up` sets itself.
    pub(crate) fn overrides(&self, bind: SocketAddr) -> Value {
        json!({
            "http": { "bind": bind, "workers": self.workers },
            "identity": { "keys_dir": self.keys_dir },
            "telemetry": self.telemetry,
        })
    }
}

/// A configured service that has not been started.
pub(crate) struct ServicePlan {
    pub(crate) name: &'static str,
    /// Maximum number of connections that the service opens to its database.
    pub(crate) connections: usize,
    /// Migrates the database at the owner's URL.
    pub(crate) migrate: Migrate,
    /// Reserved until the service itself listens on it.
    grpc: ReservedPort,
    start: Start,
}

type Migrate = fn(SecretString) -> BoxFuture<'static, Result<()>>;
type Start = Box<dyn FnOnce(DatabaseUrls, Shutdown) -> BoxFuture<'static, Result<Application>> + Send>;

/// URLs of a service's database, one for each role.
#[derive(Debug)]
pub(crate) struct DatabaseUrls {
    /// The role that owns the tables and migrates.
    pub(crate) owner: SecretString,
    /// The role that serves requests.
    pub(crate) app: SecretString,
}

/// Plans all services in start order: callees before callers, as far as they do not call each other. Each service knows
/// the addresses of the others before any of them runs.
///
/// # Errors
/// When no port is free, or the settings file has a value that a service does not accept.
pub(crate) fn plan(shared: &SharedSettings) -> Result<Vec<ServicePlan>> {
    let port = || ReservedPort::on_loopback().context("no free port on 127.0.0.1");
    let (stack_registry, registry, provisioning, onboarding) = (port()?, port()?, port()?, port()?);
    let iam = port()?;
    // This process has the data folder for itself, so it takes over the work of a crashed predecessor at once.
    let alone = json!({ "alone": true });
    let for_stack_registry = json!({ "registry": peer(&registry) });
    let for_registry = json!({
        "stack_registry": peer(&stack_registry), "provisioning": peer(&provisioning), "onboarding": peer(&onboarding),
    });
    let for_provisioning =
        json!({ "registry": peer(&registry), "data_dir": shared.provider_dir, "engine": alone });
    let for_onboarding = json!({
        "registry": peer(&registry), "provisioning": peer(&provisioning), "iam": peer(&iam), "engine": alone,
    });
    let for_iam = json!({ "registry": peer(&registry) });
    Ok(vec![
        ServicePlan::new::<StackRegistry>(shared, stack_registry, for_stack_registry)?,
        ServicePlan::new::<Registry>(shared, registry, for_registry)?,
        ServicePlan::new::<Provisioning>(shared, provisioning, for_provisioning)?,
        ServicePlan::new::<Onboarding>(shared, onboarding, for_onboarding)?,
        ServicePlan::new::<Iam>(shared, iam, for_iam)?,
    ])
}

fn peer(grpc: &ReservedPort) -> Value {
    json!({ "url": format!("http://{}", grpc.address) })
}

fn run_migrations<S: Service>(owner_url: SecretString) -> BoxFuture<'static, Result<()>> {
    async move {
        let ran = migrate::run(owner_url.expose_secret(), S::migrations()).await?;
        tracing::info!(service = S::NAME, ran = ran.len(), "migrated");
        Ok(())
    }
    .boxed()
}

impl ServicePlan {
    fn new<S: Service>(shared: &SharedSettings, grpc: ReservedPort, service: Value) -> Result<Self> {
        let mut fixed = shared.overrides((Ipv4Addr::LOCALHOST, 0).into());
        let addresses = json!({
            "grpc": { "bind": grpc.address },
            // Set when PostgreSQL runs.
            "database": { "url": "", "owner_url": "" },
            "service": service,
        });
        config::merge(&mut fixed, addresses);
        let overrides = shared.file.overrides(S::NAME, fixed)?;
        let mut settings: Settings<S::Settings> =
            config::with_overrides(S::DEFAULTS, overrides).context(S::NAME)?;
        let database = &settings.database;
        let connections = shared.workers * database.pool_per_worker + database.pool_background;
        let start = move |urls: DatabaseUrls, shutdown| {
            settings.database.url = Secret::new(urls.app.expose_secret());
            S::build(settings, shutdown).boxed()
        };
        let migrate = run_migrations::<S>;
        Ok(Self { name: S::NAME, connections, migrate, grpc, start: Box::new(start) })
    }

    /// Starts the service on its migrated database.
    ///
    /// # Errors
    /// When the service cannot be built, for example because its database rejects it.
    pub(crate) async fn start(self, urls: DatabaseUrls, shutdown: Shutdown) -> Result<Application> {
        let Self { name, start, grpc: _reserved, .. } = self;
        start(urls, shutdown).await.with_context(|| format!("cannot start {name}"))
    }
}
