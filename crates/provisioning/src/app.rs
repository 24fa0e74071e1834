//! Settings and setup of provisioning.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use database::{CounterSource, Db, Migrations};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use domain::HostName;
use rpc::Client;
use runtime::{clock, config::PeerSettings, shutdown::Shutdown};
use saga::{Engine, EngineSettings, FaultInjector, Followers, Hooks};
use serde::{Deserialize, Serialize};
use service::{Application, Service, ServiceBuilder, Settings};
use tokio::sync::Notify;
use utoipa::{
    ToSchema,
    openapi::{InfoBuilder, OpenApi, OpenApiBuilder},
};
use web::ServiceConfig;

use crate::{
    domains::{self, DomainSettings},
    grpc, jobs,
    providers::{Clock, PacedProvider, Provider, local},
    steps,
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Settings of provisioning.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProvisioningSettings {
    pub provider: ProviderName,
    /// Data folder of the provider.
    #[schema(value_type = String)]
    pub data_dir: PathBuf,
    /// Base domain of the host names of workers and pages. Must match the setting of the registry.
    pub base_domain: HostName,
    /// DNS server that the local provider uses to verify custom domains, such as 127.0.0.1:53; empty uses those of the
    /// machine.
    pub nameserver: String,
    pub registry: PeerSettings,
    pub engine: EngineSettings,
    pub domains: DomainSettings,
}

/// Name of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    /// Creates infrastructure on this machine.
    Local,
}

/// Dependencies of handlers and steps.
#[derive(Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) registry: Client<rpc::Registry>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) base_domain: HostName,
    pub(crate) wake: Arc<Notify>,
    pub(crate) followers: Followers,
}

/// The provisioning service.
#[derive(Debug)]
pub struct Provisioning;

/// Queries of the list counters, for the worker that recounts them.
const COUNTER_SOURCES: [CounterSource; 1] = [CounterSource {
    name: "jobs",
    sql: "SELECT parent, 'jobs' AS key, (SELECT count(*) FROM sagas) AS found \
          FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
}];

/// Registers the HTTP routes.
fn routes(config: &mut ServiceConfig) {
    config.service(utoipa_actix_web::scope("/api/v1/provision").configure(jobs::http));
}

async fn open_provider(settings: &ProvisioningSettings) -> Result<Arc<dyn Provider>> {
    let clock = Clock::from_fn(|| clock::now().timestamp_millis());
    let context = || format!("cannot use the data folder {} of the provider", settings.data_dir.display());
    match settings.provider {
        ProviderName::Local => {
            let mut local_settings = local::LocalSettings::new(&settings.data_dir);
            local_settings.nameserver = match settings.nameserver.as_str() {
                "" => None,
                address => Some(address.parse().context("service.nameserver must be an address and a port")?),
            };
            Ok(Arc::new(local::LocalProvider::open(local_settings, clock).await.with_context(context)?))
        }
    }
}

impl Service for Provisioning {
    const NAME: &'static str = "provisioning";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Settings = ProvisioningSettings;

    fn migrations() -> Migrations {
        Migrations::with_shared([saga::MIGRATIONS, MIGRATIONS])
    }

    fn counter_sources() -> &'static [CounterSource] {
        &COUNTER_SOURCES
    }

    fn grpc_callers() -> Vec<(&'static str, service::Callers)> {
        grpc::methods().callers()
    }

    fn openapi() -> OpenApi {
        let info = InfoBuilder::new().title("NNO Provisioning API").version("1.0.0").build();
        web::document(routes, OpenApiBuilder::new().info(info).build())
    }

    async fn build(settings: Settings<ProvisioningSettings>, shutdown: Shutdown) -> Result<Application> {
        let provider = open_provider(&settings.service).await?;
        Self::build_with(settings, shutdown, provider, None).await
    }
}

impl Provisioning {
    /// Builds the service with another provider than that of the settings, and optionally with a fault injector for its
    /// sagas. For tests.
    ///
    /// # Errors
    /// Those of [`Service::build`].
    pub async fn build_with(
        settings: Settings<ProvisioningSettings>,
        shutdown: Shutdown,
        provider: Arc<dyn Provider>,
        fault_injector: Option<FaultInjector>,
    ) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown).await?;
        let settings = settings.service;
        let provider: Arc<dyn Provider> = Arc::new(PacedProvider::new(provider));
        let (database, peers, wake) =
            (builder.database.clone(), builder.peers.clone(), Arc::new(Notify::new()));
        let followers = Followers::start(builder.background.clone(), &builder.shutdown);
        let (engine, domain_checks) = (settings.engine, settings.domains);
        let state = move |db: Db| {
            let registry = Client::new(&peers, &settings.registry)?;
            let (provider, wake, followers) = (Arc::clone(&provider), Arc::clone(&wake), followers.clone());
            anyhow::Ok(App {
                db,
                registry,
                provider,
                base_domain: settings.base_domain.clone(),
                wake,
                followers,
            })
        };
        let app = state(builder.background.clone())?;
        builder.probes = vec![app.registry.probe()];
        let (db, wake) = (app.db.clone(), Arc::clone(&app.wake));
        let hooks = Hooks { fault_injector, followers: Some(app.followers.clone()), awaited_jobs: None };
        Engine::with_hooks(db, app.clone(), engine, wake, steps::definitions(), hooks)
            .start(&builder.shutdown);
        domains::start(&app, domain_checks, &builder.shutdown);
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
