//! Composition of the service. Every slice is one line in [`routes`].

use anyhow::Result;
use database::{Db, Migrations};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use rpc::Client;
use runtime::{config::PeerSettings, shutdown::Shutdown};
use serde::{Deserialize, Serialize};
use service::{Application, Service, ServiceBuilder, Settings};
use utoipa::{
    ToSchema,
    openapi::{InfoBuilder, OpenApi, OpenApiBuilder},
};
use web::ServiceConfig;

use crate::{grpc, schemas, templates, versions};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Settings that only the stack registry has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StackRegistrySettings {
    pub registry: PeerSettings,
}

/// State of the handlers. Each HTTP worker thread has one; gRPC has one.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) registry: Client<rpc::Registry>,
}

/// The stack registry service.
#[derive(Debug)]
pub struct StackRegistry;

/// The routes of all slices.
fn routes(config: &mut ServiceConfig) {
    config
        .configure(schemas::http)
        .service(utoipa_actix_web::scope("/api/v1").configure(versions::http).configure(templates::http));
}

impl Service for StackRegistry {
    const NAME: &'static str = "stack-registry";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Settings = StackRegistrySettings;

    fn migrations() -> Migrations {
        Migrations::with_shared([MIGRATIONS])
    }

    fn grpc_callers() -> Vec<(&'static str, service::Callers)> {
        grpc::methods().callers()
    }

    fn openapi() -> OpenApi {
        let info = InfoBuilder::new().title("NNO Stack Registry API").version("1.0.0").build();
        web::document(routes, OpenApiBuilder::new().info(info).build())
    }

    async fn build(settings: Settings<StackRegistrySettings>, shutdown: Shutdown) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown).await?;
        let (database, peers) = (builder.database.clone(), builder.peers.clone());
        let state = move |db: Db| {
            let registry = Client::new(&peers, &settings.service.registry)?;
            anyhow::Ok(App { db, registry })
        };
        let app = state(builder.background.clone())?;
        builder.probes = vec![app.registry.probe()];
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
