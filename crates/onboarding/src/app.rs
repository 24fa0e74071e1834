//! What onboarding is made of.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use database::{CounterSource, Db, Migrations};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rpc::Client;
use runtime::{config::PeerSettings, shutdown::Shutdown};
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
    grpc,
    jobs::{self, JobEnds},
    sessions, steps,
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Where onboarding is found first; its own root is the second place.
const PREFIX: &str = "/api/v1/onboarding";

/// What onboarding alone can be told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// How long an onboarding may take before it is undone.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub session_lifetime: Duration,
    pub registry: PeerSettings,
    pub provisioning: PeerSettings,
    pub iam: PeerSettings,
    pub engine: EngineSettings,
}

/// What handlers and steps work with.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) registry: Client<rpc::Registry>,
    pub(crate) provisioning: Client<rpc::Provisioning>,
    pub(crate) iam: Client<rpc::Iam>,
    pub(crate) session_lifetime: Duration,
    pub(crate) wake: Arc<Notify>,
    pub(crate) followers: Followers,
    pub(crate) job_ends: JobEnds,
}

/// Onboarding as a service.
#[derive(Debug)]
pub struct Onboarding;

/// The routes of all slices, under the platform's API and at the service's own root.
fn routes(config: &mut ServiceConfig) {
    config.service(utoipa_actix_web::scope(PREFIX).configure(sessions::http)).configure(sessions::root);
}

/// The list whose total comes from a counter, for the worker that counts it again.
const COUNTER_SOURCES: [CounterSource; 1] = [CounterSource {
    name: "onboardings",
    sql: "SELECT parent, 'sessions' AS key, (SELECT count(*) FROM sessions) AS found \
          FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
}];

impl Service for Onboarding {
    const NAME: &'static str = "onboarding";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Settings = Own;

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
        let info = InfoBuilder::new().title("NNO Onboarding API").version("1.0.0").build();
        let mut document = web::document(routes, OpenApiBuilder::new().info(info).build());
        web::name_aliases(&mut document, |path| !path.starts_with(PREFIX));
        document
    }

    async fn build(settings: Settings<Own>, shutdown: Shutdown) -> Result<Application> {
        Self::build_with_fault_injector(settings, shutdown, None).await
    }
}

impl Onboarding {
    /// Starts it with something that interferes with its sagas, for tests.
    ///
    /// # Errors
    /// Those of [`Service::build`].
    pub async fn build_with_fault_injector(
        settings: Settings<Own>,
        shutdown: Shutdown,
        fault_injector: Option<FaultInjector>,
    ) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown).await?;
        let own = settings.service;
        let (database, peers, wake) =
            (builder.database.clone(), builder.peers.clone(), Arc::new(Notify::new()));
        let followers = Followers::start(builder.background.clone(), &builder.shutdown);
        let (engine, job_ends) = (own.engine, JobEnds::default());
        let state = move |db: Db| {
            let registry = Client::new(&peers, &own.registry)?;
            let provisioning = Client::new(&peers, &own.provisioning)?;
            let iam = Client::new(&peers, &own.iam)?;
            let session_lifetime = own.session_lifetime;
            let (wake, followers, job_ends) = (Arc::clone(&wake), followers.clone(), job_ends.clone());
            anyhow::Ok(App { db, registry, provisioning, iam, session_lifetime, wake, followers, job_ends })
        };
        let app = state(builder.background.clone())?;
        builder.probes = vec![app.registry.probe(), app.provisioning.probe(), app.iam.probe()];
        let (db, wake) = (app.db.clone(), Arc::clone(&app.wake));
        let (report, waits) = Hooks::job_channel();
        let hooks = Hooks { fault_injector, followers: None, awaited_jobs: Some(report) };
        Engine::with_hooks(db, app.clone(), engine, wake, steps::definitions(), hooks)
            .start(&builder.shutdown);
        jobs::start(&app, waits, &builder.shutdown);
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
