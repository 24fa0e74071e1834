//! The registry service: settings, routes and startup. [`slices`] lists its types of objects.

use std::{sync::Arc, time::Duration};

use actix_web::web::Data;
use anyhow::Result;
use database::{CounterSource, Db, Migrations, outbox::Relay};
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

use crate::{delivery::ProvisioningDelivery, domains, grpc, locate, platforms, resources, slices};

/// Path prefix under which the resource routes are also served.
const RESOURCE_ALIASES: &str = "/api/v1/resources";

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Settings of the registry.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// Time between the cancellation of a platform and its end.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub cancellation_period: Duration,
    /// Base domain of the host names of workers and pages. Must match the setting of provisioning.
    pub base_domain: HostName,
    pub domains: domains::DomainSettings,
    pub quotas: platforms::quota::Quotas,
    pub stack_registry: PeerSettings,
    pub provisioning: PeerSettings,
    pub onboarding: PeerSettings,
}

/// State of the handlers. Each HTTP worker thread has one; gRPC and the background workers share one.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) settings: Arc<RegistrySettings>,
    pub(crate) stack_registry: Client<rpc::StackRegistry>,
    pub(crate) provisioning: Client<rpc::Provisioning>,
    pub(crate) onboarding: Client<rpc::Onboarding>,
}

/// The registry service.
#[derive(Debug)]
pub struct Registry;

/// Adds the routes of all slices.
fn routes(config: &mut ServiceConfig) {
    config.app_data(Data::new(Locate(locate::locate)));
    // Registered before the scope whose prefix it shares.
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
    type Settings = RegistrySettings;

    fn migrations() -> Migrations {
        Migrations::with_shared([MIGRATIONS])
    }

    fn counter_sources() -> &'static [CounterSource] {
        &slices::COUNTER_SOURCES
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

    async fn build(settings: Settings<RegistrySettings>, shutdown: Shutdown) -> Result<Application> {
        let mut builder = ServiceBuilder::new::<Self>(&settings, shutdown).await?;
        let settings = Arc::new(settings.service);
        let (database, peers) = (builder.database.clone(), builder.peers.clone());
        let state = move |db: Db| {
            let stack_registry = Client::new(&peers, &settings.stack_registry)?;
            let provisioning = Client::new(&peers, &settings.provisioning)?;
            let onboarding = Client::new(&peers, &settings.onboarding)?;
            anyhow::Ok(App { db, settings: Arc::clone(&settings), stack_registry, provisioning, onboarding })
        };
        let app = state(builder.background.clone())?;
        platforms::start_workers(&app, &builder.shutdown);
        let relay = Relay::new(app.db.clone(), [ProvisioningDelivery::destination(app.provisioning.clone())]);
        let called = [app.stack_registry.probe(), app.provisioning.probe(), app.onboarding.probe()];
        builder.probes = called.into_iter().chain([relay.probe()]).collect();
        relay.start(&builder.shutdown);
        let methods = grpc::methods().build(app)?;
        builder.start(Self::migrations, routes, move || state(database.per_worker()?), methods).await
    }
}
