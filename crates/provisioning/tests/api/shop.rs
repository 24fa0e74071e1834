//! Test fixture: an entity with a feature, and fault injection into its jobs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Error, Kind};
use provisioning::providers::{Provider, ResourceKind, Target};
use saga::{Fault, FaultInjector, StepPhase};
use serde_json::{Value, json};

use crate::system::System;

pub(crate) const STEPS: [&str; 5] = ["begin", "database", "worker", "dns", "report"];
pub(crate) const REMOVAL: [&str; 5] = ["begin", "dns", "worker", "data", "report"];

/// The fault to inject now: step, true for its undo, injection point, and fault.
pub(crate) type FaultSlot = Arc<Mutex<Option<(&'static str, bool, StepPhase, fn() -> Fault)>>>;

/// Returns an empty slot and an injector that injects the fault in it.
pub(crate) fn new_fault_slot() -> (FaultSlot, FaultInjector) {
    let fault_slot = FaultSlot::default();
    let now = Arc::clone(&fault_slot);
    let fault_injector: FaultInjector = Arc::new(move |injection| {
        let mut now = now.lock().unwrap();
        match *now {
            Some((at, undoing, when, fault))
                if (at, undoing, when) == (injection.step, injection.undo, injection.phase) =>
            {
                // A runner dies only once, so that the one that takes over survives.
                if matches!(fault(), Fault::Crash) {
                    *now = None;
                }
                fault()
            }
            _ => Fault::None,
        }
    });
    (fault_slot, fault_injector)
}

pub(crate) fn broken() -> Fault {
    Fault::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

/// Entity with the feature `billing` in production.
pub(crate) struct Shop<'s> {
    pub(crate) system: &'s System,
    pub(crate) platform: String,
    pub(crate) entity: String,
}

impl<'s> Shop<'s> {
    pub(crate) async fn new(system: &'s System, slug: &str) -> Self {
        let platform = system.platform(slug).await;
        Self::in_platform(system, &platform, "t").await
    }

    pub(crate) async fn in_platform(system: &'s System, platform: &str, slug: &str) -> Self {
        let body = json!({ "name": "Tenant", "slug": slug, "type": "tenant" });
        let path = format!("/api/v1/platforms/{platform}/entities");
        let created = system.registry.post(&path, body).await.expect(201);
        Self { system, platform: platform.to_owned(), entity: created["id"].as_str().unwrap().to_owned() }
    }

    pub(crate) fn path(&self, more: &str) -> String {
        format!("/api/v1/platforms/{}/entities/{}/{more}", self.platform, self.entity)
    }

    pub(crate) async fn activate(&self, version: &str) -> String {
        let body = json!({ "featureId": "billing", "version": version, "environment": "prod" });
        let response = self.system.registry.post(&self.path("features/activate"), body).await.expect(202);
        response["provisionJobId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn deactivate(&self, delete_data: bool) {
        let body = json!({ "featureId": "billing", "environment": "prod", "deleteData": delete_data });
        self.system.registry.post(&self.path("features/deactivate"), body).await.expect(200);
    }

    /// Waits until the activation has one of the statuses and returns it.
    pub(crate) async fn when(&self, statuses: &[&str]) -> Value {
        let path = self.path("features/billing");
        for _ in 0..3000 {
            let now = self.system.registry.get(&path).await.expect(200);
            if statuses.contains(&now["status"].as_str().unwrap()) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {statuses:?}: {}", self.system.registry.get(&path).await.body)
    }

    pub(crate) async fn active(&self, version: &str) -> Value {
        let now = self.when(&["active", "failed"]).await;
        assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!(version)), "{now}");
        now
    }

    pub(crate) async fn manifest(&self) -> Value {
        self.system.registry.get(&self.path("manifest")).await.expect(200)["features"].clone()
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-default-billing", self.platform)
    }

    /// Returns the kinds of the service's objects at the provider.
    pub(crate) async fn live(&self) -> Vec<String> {
        let live = self.system.provider.live().await.unwrap();
        let mut kinds: Vec<_> =
            live.into_iter().filter(|one| one.name.contains(&self.platform)).map(|one| one.kind).collect();
        kinds.sort();
        kinds
    }

    /// Returns the provider's id of the worker's deployment.
    pub(crate) async fn deployment(&self) -> Value {
        let target =
            Target::plain(&crate::providers::targets::owner(), ResourceKind::Worker, self.name()).unwrap();
        self.system.provider.observe(&target).await.unwrap().unwrap().details["deployment"].clone()
    }

    pub(crate) async fn builds(&self) -> Vec<Value> {
        let path = format!("/api/v1/platforms/{}/builds", self.platform);
        let builds = self.system.registry.get(&path).await.expect(200);
        builds["data"].as_array().unwrap().iter().map(|build| build["buildStatus"].clone()).collect()
    }

    pub(crate) async fn hosts(&self) -> usize {
        let path = format!("/api/v1/platforms/{}/stacks/default/dns", self.platform);
        self.system.registry.get(&path).await.expect(200)["data"].as_array().unwrap().len()
    }

    /// Asserts that neither the provider nor the registry has any object of the service.
    pub(crate) async fn assert_nothing_left(&self, why: &str) {
        assert_eq!(self.live().await, [""; 0], "{why}");
        assert!(self.system.resources(&self.platform).await.is_empty(), "{why}");
        assert_eq!((self.hosts().await, self.manifest().await), (0, json!([])), "{why}");
    }

    /// Asserts that the service is complete and that no object was created twice.
    pub(crate) async fn assert_whole(&self, why: &str) {
        assert_eq!(self.live().await, ["d1", "dns_record", "worker"], "{why}");
        let resources = self.system.resources(&self.platform).await;
        let mut names: Vec<_> =
            resources.iter().map(|one| (one["cfName"].as_str().unwrap(), &one["status"])).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        let (name, data, active) = (self.name(), format!("{}-db", self.name()), json!("active"));
        assert_eq!(names, [(name.as_str(), &active), (data.as_str(), &active)], "{why}");
        assert_eq!(self.hosts().await, 1, "{why}");
        assert_eq!(self.system.provider.duplicates().await.unwrap(), [""; 0], "{why}");
    }
}
