//! Several services that know each other's addresses.

use std::net::SocketAddr;

use domain::{EntityId, PlatformId};
use runtime::{config, shutdown::Shutdown};
use serde_json::{Value, json};
use service::{Application, Service, Settings};

use crate::{HeldPort, Keys, PROCESSES, TestDb, TestService};

/// Services that share their keys. Each has a gRPC address from the beginning, so that they can start in any order, and
/// a call to one that was not started is refused. Drop it after its services.
#[derive(Debug, Default)]
pub struct System {
    keys: Keys,
    ports: [HeldPort; PROCESSES.len()],
}

impl System {
    /// A system in which nothing runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys of all processes.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The gRPC address of a process.
    pub fn grpc(&self, process: &str) -> SocketAddr {
        let index = PROCESSES.iter().position(|name| *name == process).expect("a known process");
        self.ports[index].address
    }

    /// The settings with which a service finds the others, over which `own` is put.
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

    /// Starts `S` with a new database. `own` overrides its own settings, those under `service`.
    pub async fn start<S: Service>(&self, own: Value) -> TestService {
        self.start_built::<S, _>(own, S::build).await
    }

    /// Starts `S` as `build` builds it.
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

    /// Starts another process of `S` on the database of `first`, which must outlive it.
    pub async fn replica<S: Service>(&self, first: &TestService, own: Value) -> TestService {
        let mut settings = self.settings::<S>(own);
        let replica = json!({ "database": { "url": first.db.app_url }, "grpc": { "bind": "127.0.0.1:0" } });
        config::merge(&mut settings, replica);
        TestService::start_on::<S>(TestDb::of::<S>().await, self.keys.clone(), settings).await
    }
}

/// Creates objects in a registry and returns their ids.
impl TestService {
    /// A new active platform.
    pub async fn platform(&self, slug: &str) -> PlatformId {
        let body = json!({ "name": "Acme", "slug": slug });
        let platform = self.post("/api/v1/platforms", body).await.expect(201);
        PlatformId::parse(platform["id"].as_str().expect("an id")).expect("an id of a platform")
    }

    /// A new tenant of a platform or, below `parent`, a new subtenant.
    pub async fn entity(&self, platform: &PlatformId, slug: &str, parent: Option<&EntityId>) -> EntityId {
        let kind = if parent.is_some() { "subtenant" } else { "tenant" };
        let mut body = json!({ "name": slug, "slug": slug, "type": kind });
        if let Some(parent) = parent {
            body["parentId"] = json!(parent);
        }
        let path = format!("/api/v1/platforms/{platform}/entities");
        let entity = self.post(&path, body).await.expect(201);
        EntityId::parse(entity["id"].as_str().expect("an id")).expect("an id of an entity")
    }
}
