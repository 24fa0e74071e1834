//! What the stack registry is made of. Every slice is one line in [`routes`].

use anyhow::Result;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use kit::{
    Db,
    db::Migrations,
    grpc::Access,
    http::{self, ServiceConfig},
    service::{Application, Parts, Service, Settings},
    shutdown::Shutdown,
};
use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{InfoBuilder, OpenApi, OpenApiBuilder},
};

use crate::{grpc, templates, versions};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// What the stack registry alone can be told: nothing so far.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {}

/// What handlers work with. One per HTTP worker thread, one for gRPC.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
}

/// The stack registry as a service.
#[derive(Debug)]
pub struct StackRegistry;

/// The routes of all slices.
fn routes(config: &mut ServiceConfig) {
    // Versions first: their list's path also has the shape of a version's.
    config.service(utoipa_actix_web::scope("/api/v1").configure(versions::http).configure(templates::http));
}

impl Service for StackRegistry {
    const NAME: &'static str = "stack-registry";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Own = Own;

    fn migrations() -> Migrations {
        Migrations::with_kit([MIGRATIONS])
    }

    fn openapi() -> OpenApi {
        let info = InfoBuilder::new().title("NNO Stack Registry API").version("1.0.0").build();
        http::document(routes, OpenApiBuilder::new().info(info).build())
    }

    async fn build(settings: Settings<Own>, shutdown: Shutdown) -> Result<Application> {
        let parts = Parts::new::<Self>(&settings, shutdown).await?;
        let database = parts.database.clone();
        let access = Access::new(parts.verifier.clone(), grpc::SERVICE, grpc::CALLERS);
        let app = App { db: parts.background.clone() };
        let served = tonic::service::Routes::new(rpc::reflection()?).add_service(grpc::server(app));
        let state = move || Ok(App { db: database.per_worker()? });
        parts.start(Self::migrations, routes, state, access, served).await
    }
}
