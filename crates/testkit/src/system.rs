//! Several services that call each other.

use std::net::SocketAddr;

use domain::{EntityId, PlatformId};
use runtime::{config, shutdown::Shutdown};
use serde_json::{Value, json};
use service::{Application, Service, Settings};

use crate::{Keys, PROCESSES, ReservedPort, TestDb, TestService};

/// Services that share their keys. Every process has a reserved gRPC address, so services start in any order, and calls
/// to a service that was not started are refused. Drop it after its services.
#[derive(Debug, Default)]
pub struct System {
    keys: Keys,
    ports: [ReservedPort; PROCESSES.len()],
}

impl System {
    /// Creates a system without running services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the keys of all processes.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the gRPC address of a process.
    pub fn grpc(&self, process: &str) -> SocketAddr {
        let index = PROCESSES.iter().position(|name| *name == process).expect("a known process");
        self.ports[index].address
    }

    /// Returns settings with the addresses of the other services. `own` overrides the `service` section.
    pub fn settings<S: Service>(&self, own: Value) -> Value {
        let mut service = json!({});
        for process in PROCESSES {
            let key = process.replace('-', "_");
            if S::DEFAULTS.contains(&format!("\n[service.{key}]\n")) {
                service[key] = json!({ "url": format!("http://{}", self.grpc(process)) });
            }
        }
        config::merge(&mut service, own);
        json!({ "grpc": { "bind": self.grpc(S::NAME).to_string() }, "service": service })
    }

    /// Starts `S` with a new database. `own` overrides the `service` section of its settings.
    pub async fn start<S: Service>(&self, own: Value) -> TestService {
        self.start_built::<S, _>(own, S::build).await
    }

    /// Starts the application that `build` returns.
    pub async fn start_built<S: Service, Fut>(
        &self,
        own: Value,
        build: impl FnOnce(Settings<S::Settings>, Shutdown) -> Fut,
    ) -> TestService
    where
        Fut: Future<Output = anyhow::Result<Application>>,
    {
        let settings = self.settings::<S>(own);
        TestService::start_built::<S, _>(TestDb::of::<S>().await, self.keys.clone(), settings, build).await
    }

    /// Starts a second process of `S` on the database of `first`, which must outlive it.
    pub async fn replica<S: Service>(&self, first: &TestService, own: Value) -> TestService {
        let mut settings = self.settings::<S>(own);
        let replica = json!({ "database": { "url": first.db.app_url }, "grpc": { "bind": "127.0.0.1:0" } });
        config::merge(&mut settings, replica);
        TestService::start_on::<S>(TestDb::of::<S>().await, self.keys.clone(), settings).await
    }
}

/// Requests to a registry that create objects and return their ids.
impl TestService {
    /// Creates an active platform.
    pub async fn platform(&self, slug: &str) -> PlatformId {
        let body = json!({ "name": "Acme", "slug": slug });
        let platform = self.post("/api/v1/platforms", body).await.expect(201);
        PlatformId::parse(platform["id"].as_str().expect("an id")).expect("a platform id")
    }

    /// Creates a tenant of a platform or, below `parent`, a subtenant.
    pub async fn entity(&self, platform: &PlatformId, slug: &str, parent: Option<&EntityId>) -> EntityId {
        let kind = if parent.is_some() { "subtenant" } else { "tenant" };
        let mut body = json!({ "name": slug, "slug": slug, "type": kind });
        if let Some(parent) = parent {
            body["parentId"] = json!(parent);
        }
        let path = format!("/api/v1/platforms/{platform}/entities");
        let entity = self.post(&path, body).await.expect(201);
        EntityId::parse(entity["id"].as_str().expect("an id")).expect("an entity id")
    }
}
