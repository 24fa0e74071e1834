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

use crate::{
    access::{self, Actions},
    audit, bindings, grpc,
    keys::{self, KeyUsage},
    revocations::{self, Hub},
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Settings that only iam has.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IamSettings {
    pub registry: PeerSettings,
}

/// State of the handlers. Each HTTP worker thread has one; gRPC and the background workers share one. All of them share
/// `revocations`, `usage` and `actions`.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) registry: Client<rpc::Registry>,
    pub(crate) revocations: Hub,
    pub(crate) usage: KeyUsage,
    pub(crate) actions: Actions,
    pub(crate) shutdown: Shutdown,
}

/// The iam service.
#[derive(Debug)]
pub struct Iam;

/// The routes of all slices.
fn routes(config: &mut ServiceConfig) {
    config.service(
        utoipa_actix_web::scope("/api/v1/iam")
            .configure(access::http)
            .configure(keys::http)
            .configure(bindings::http)
            .configure(audit::http),
    );
}

impl Service for Iam {
    const NAME: &'static str = "iam";
    const DEFAULTS: &'static str = include_str!("../config/default.toml");
    type Settings = IamSettings;

    fn migrations() -> Migrations {
        Migrations::with_shared([MIGRATIONS])
    }

    fn grpc_callers() -> Vec<(&'static str, service::Callers)> {
        grpc::methods().callers()
    }

    fn openapi() -> OpenApi {
        let info = InfoBuilder::new().title("NNO Access API").version("1.0.0").build();
        web::document(routes, OpenApiBuilder::new().info(info).build())
    }

    async fn build(settings: Settings<IamSettings>, shutdown: Shutdown) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown.clone()).await?;
        let (database, peers) = (builder.database.clone(), builder.peers.clone());
        let (hub, usage) = (Hub::default(), KeyUsage::default());
        let actions = Actions::of_all_services()?;
        let state = move |db: Db| {
            let registry = Client::new(&peers, &settings.service.registry)?;
            let (revocations, usage, shutdown) = (hub.clone(), usage.clone(), shutdown.clone());
            let actions = actions.clone();
            anyhow::Ok(App { db, registry, revocations, usage, actions, shutdown })
        };
        let app = state(builder.background.clone())?;
        builder.probes = vec![app.registry.probe()];
        revocations::start(&app).await?;
        keys::start_workers(&app);
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
