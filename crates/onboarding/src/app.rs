//! The onboarding service: its settings, state and routes.

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
    onboardings, steps,
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The path prefix of the API. The service also serves the API at its own root.
const PREFIX: &str = "/api/v1/onboarding";

/// The settings of the onboarding service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnboardingSettings {
    /// Maximum duration of an onboarding. After it, the onboarding is undone.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub session_lifetime: Duration,
    pub registry: PeerSettings,
    pub provisioning: PeerSettings,
    pub iam: PeerSettings,
    pub engine: EngineSettings,
}

/// The state shared by handlers and steps.
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

/// The onboarding service.
#[derive(Debug)]
pub struct Onboarding;

/// The routes, under the path prefix and at the service's own root.
fn routes(config: &mut ServiceConfig) {
    config.service(utoipa_actix_web::scope(PREFIX).configure(onboardings::http)).configure(onboardings::root);
}

/// The source of the counter of onboardings, for the worker that recounts it.
const COUNTER_SOURCES: [CounterSource; 1] = [CounterSource {
    name: "onboardings",
    sql: "SELECT parent, 'sessions' AS key, (SELECT count(*) FROM sessions) AS found \
          FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
}];

impl Service for Onboarding {
    const NAME: &'static str = "onboarding";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Settings = OnboardingSettings;

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

    async fn build(settings: Settings<OnboardingSettings>, shutdown: Shutdown) -> Result<Application> {
        Self::build_with_fault_injector(settings, shutdown, None).await
    }
}

impl Onboarding {
    /// Builds the service with a fault injector for its sagas, for tests.
    ///
    /// # Errors
    /// Those of [`Service::build`].
    pub async fn build_with_fault_injector(
        settings: Settings<OnboardingSettings>,
        shutdown: Shutdown,
        fault_injector: Option<FaultInjector>,
    ) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown).await?;
        let settings = settings.service;
        let (database, peers, wake) =
            (builder.database.clone(), builder.peers.clone(), Arc::new(Notify::new()));
        let followers = Followers::start(builder.background.clone(), &builder.shutdown);
        let (engine, job_ends) = (settings.engine, JobEnds::default());
        let state = move |db: Db| {
            let registry = Client::new(&peers, &settings.registry)?;
            let provisioning = Client::new(&peers, &settings.provisioning)?;
            let iam = Client::new(&peers, &settings.iam)?;
            let session_lifetime = settings.session_lifetime;
            let (wake, followers, job_ends) = (Arc::clone(&wake), followers.clone(), job_ends.clone());
            anyhow::Ok(App { db, registry, provisioning, iam, session_lifetime, wake, followers, job_ends })
        };
        let app = state(builder.background.clone())?;
        builder.probes = vec![app.registry.probe(), app.provisioning.probe(), app.iam.probe()];
        let (db, wake) = (app.db.clone(), Arc::clone(&app.wake));
        let (report, awaited) = Hooks::job_channel();
        let hooks = Hooks { fault_injector, followers: None, awaited_jobs: Some(report) };
        Engine::with_hooks(db, app.clone(), engine, wake, steps::definitions(), hooks)
            .start(&builder.shutdown);
        jobs::start(&app, awaited, &builder.shutdown);
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
