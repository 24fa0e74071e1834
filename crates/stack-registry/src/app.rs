//! What the stack registry is made of. Every slice is one line in [`routes`].

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

/// What the stack registry alone can be told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {
    pub registry: PeerSettings,
}

/// What handlers work with. One per HTTP worker thread, one for gRPC.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) registry: Client<rpc::Registry>,
}

/// The stack registry as a service.
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
    type Settings = Own;

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

    async fn build(settings: Settings<Own>, shutdown: Shutdown) -> Result<Application> {
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
