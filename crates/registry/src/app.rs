//! What the registry is made of. Its resources are listed in [`slices`].

use std::{sync::Arc, time::Duration};

use actix_web::web::Data;
use anyhow::Result;
use database::{Db, Migrations, Tally, outbox::Relay};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use domain::HostName;
use rpc::Client;
use runtime::{config::PeerSettings, shutdown::Shutdown};
use serde::{Deserialize, Serialize};
use service::{Application, Service, ServiceBuilder, Settings};
use utoipa::{
    ToSchema,
    openapi::{InfoBuilder, OpenApi, OpenApiBuilder},
};
use utoipa_actix_web::scope;
use web::{Locate, ServiceConfig};

use crate::{delivery::ToProvisioning, domains, grpc, locate, platforms, resources, slices};

/// Where resources are found a second time.
const RESOURCE_ALIASES: &str = "/api/v1/resources";

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// What the registry alone can be told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// How long a cancelled platform lives on before it ends.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub cancellation_period: Duration,
    /// What the host names of workers and pages end in; the same as provisioning's.
    pub base_domain: HostName,
    pub domains: domains::DomainSettings,
    pub quotas: platforms::quota::Quotas,
    pub stack_registry: PeerSettings,
    pub provisioning: PeerSettings,
    pub onboarding: PeerSettings,
}

/// What handlers work with. One per HTTP worker thread, one for gRPC and the workers.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) own: Arc<Own>,
    pub(crate) stack_registry: Client<rpc::StackRegistry>,
    pub(crate) provisioning: Client<rpc::Provisioning>,
    pub(crate) onboarding: Client<rpc::Onboarding>,
}

/// The registry as a service.
#[derive(Debug)]
pub struct Registry;

/// The routes of all slices.
fn routes(config: &mut ServiceConfig) {
    config.app_data(Data::new(Locate(locate::locate)));
    // Before the scope that its prefix falls into.
    config.service(scope(RESOURCE_ALIASES).configure(resources::http)).service(scope("/api/v1").configure(
        |config| {
            for slice in slices::ALL {
                (slice.http)(config);
            }
        },
    ));
}

impl Service for Registry {
    const NAME: &'static str = "registry";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Settings = Own;

    fn migrations() -> Migrations {
        Migrations::with_shared([MIGRATIONS])
    }

    fn counter_sources() -> &'static [Tally] {
        &slices::TALLIES
    }

    fn grpc_callers() -> Vec<(&'static str, service::Callers)> {
        grpc::methods().callers()
    }

    fn openapi() -> OpenApi {
        let info = InfoBuilder::new().title("NNO Registry API").version("1.0.0").build();
        let mut document = web::document(routes, OpenApiBuilder::new().info(info).build());
        web::name_aliases(&mut document, |path| path.starts_with(RESOURCE_ALIASES));
        document
    }

    async fn build(settings: Settings<Own>, shutdown: Shutdown) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown).await?;
        let own = Arc::new(settings.service);
        let (database, peers) = (builder.database.clone(), builder.peers.clone());
        let state = move |db: Db| {
            let stack_registry = Client::new(&peers, &own.stack_registry)?;
            let provisioning = Client::new(&peers, &own.provisioning)?;
            let onboarding = Client::new(&peers, &own.onboarding)?;
            anyhow::Ok(App { db, own: Arc::clone(&own), stack_registry, provisioning, onboarding })
        };
        let app = state(builder.background.clone())?;
        platforms::start_workers(&app, &builder.shutdown);
        let relay = Relay::new(app.db.clone(), [ToProvisioning::destination(app.provisioning.clone())]);
        let called = [app.stack_registry.probe(), app.provisioning.probe(), app.onboarding.probe()];
        builder.probes = called.into_iter().chain([relay.probe()]).collect();
        relay.start(&builder.shutdown);
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
