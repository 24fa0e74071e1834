//! Stack jobs with both registries and a scripted provider.

use std::time::Duration;

use fake_provider::Operation;
use provisioning::providers::{Provider, ResourceKind, Target};
use saga::FaultInjector;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use testkit::TestService;

use crate::{
    jobs::refuse,
    system::{RegistrySystem, System},
};

/// System with the template `mall`: 1.0.0 has cart and theme, the next version a newer cart and wish.
pub(crate) struct Mall {
    pub(crate) system: System,
    _stacks: TestService,
}

/// Stack of the template `mall` in its own tenant.
pub(crate) struct Stack<'m> {
    pub(crate) mall: &'m Mall,
    pub(crate) platform: String,
    pub(crate) tenant: String,
    pub(crate) id: String,
}

pub(crate) const OLD: [(&str, &str); 2] = [("cart", "1.0.0"), ("theme", "1.0.0")];
pub(crate) const NEW: [(&str, &str); 2] = [("cart", "2.0.0"), ("wish", "1.0.0")];

/// The version after 1.0.0.
pub(crate) const NEXT: &str = "2.0.0-rc.1";

fn version(number: &str) -> Value {
    let feature = |id: &str, version: &str| json!({ "id": id, "version": version, "package": format!("@mall/{id}"), "required": true, "permissions": [] });
    let (features, kv) = if number == "1.0.0" {
        ([feature("cart", "1.0.0"), feature("theme", "1.0.0")], false)
    } else {
        ([feature("cart", "2.0.0"), feature("wish", "1.0.0")], true)
    };
    let resources = json!({ "d1": true, "r2": false, "kv": kv, "queue": false });
    let definition =
        json!({ "schemaVersion": 1, "displayName": "Mall", "features": features, "resources": resources });
    json!({ "version": number, "stackDefinition": definition, "nnoSdkVersion": "1.0.0" })
}

impl Mall {
    pub(crate) async fn start(fault_injector: Option<FaultInjector>) -> Self {
        let services = testkit::System::new();
        let stacks = services.start::<StackRegistry>(json!({})).await;
        let body = json!({ "name": "mall", "displayName": "Mall", "description": "Sells" });
        stacks.post("/api/v1/stacks", body).await.expect(201);
        stacks.post("/api/v1/stacks/mall/versions", version("1.0.0")).await.expect(201);
        // A new stack does not use a pre-release.
        stacks.post("/api/v1/stacks/mall/versions", version(NEXT)).await.expect(201);
        let system = RegistrySystem::start_in(services).await.provision(fault_injector).await;
        Self { system, _stacks: stacks }
    }

    /// Requests a stack of version 1.0.0 and does not wait for it.
    pub(crate) async fn stack(&self, slug: &str) -> Stack<'_> {
        let registry = &self.system.registry;
        let platform = self.system.platform(slug).await;
        let at = |path: &str| format!("/api/v1/platforms/{platform}/{path}");
        let id = |response: Value| response["id"].as_str().unwrap().to_owned();
        let tenant = json!({ "name": "Tenant", "slug": "t", "type": "tenant" });
        let tenant = id(registry.post(&at("entities"), tenant).await.expect(201));
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": "mall" });
        let stack = id(registry.post(&at("stacks"), body).await.expect(201));
        Stack { mall: self, platform, tenant, id: stack }
    }
}

impl Stack<'_> {
    fn path(&self, more: &str) -> String {
        format!("/api/v1/platforms/{}/stacks/{}{more}", self.platform, self.id)
    }

    fn registry(&self) -> &TestService {
        &self.mall.system.registry
    }

    pub(crate) async fn get(&self) -> Value {
        self.registry().get(&self.path("")).await.expect(200)
    }

    /// Upgrades the stack and returns the job id.
    pub(crate) async fn upgrade(&self, version: &str) -> String {
        let response = self.registry().post(&self.path("/upgrade"), json!({ "version": version })).await;
        response.expect(202)["provisionJobId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn rollback(&self) -> String {
        let response = self.registry().post(&self.path("/rollback"), json!({})).await;
        response.expect(202)["provisionJobId"].as_str().unwrap().to_owned()
    }

    /// Deletes the stack and waits until its resources are removed.
    pub(crate) async fn delete(&self, data: bool) {
        let body = json!({ "deleteData": data });
        let deleted =
            self.registry().send(reqwest::Method::DELETE, &self.path(""), &body, &[]).await.expect(202);
        self.mall.system.job_in(deleted["provisionJobId"].as_str().unwrap(), "COMPLETED").await;
    }

    /// Waits until the stack is active or failed and its job has ended, and returns the stack. Asserts meanwhile that
    /// the manifest always shows a complete version.
    pub(crate) async fn settled(&self) -> Value {
        for _ in 0..3000 {
            self.shown().await;
            let now = self.get().await;
            if ["active", "failed"].contains(&now["status"].as_str().unwrap()) {
                let job = format!("/api/v1/provision/jobs/{}", now["provisionJobId"].as_str().unwrap());
                let job = self.mall.system.provisioning.get(&job).await.body;
                if ["COMPLETED", "ROLLED_BACK", "FAILED"]
                    .contains(&job["status"].as_str().unwrap_or_default())
                {
                    return self.get().await;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never settled: {}", self.get().await)
    }

    pub(crate) async fn active(&self, version: &str) -> Value {
        let now = self.settled().await;
        assert_eq!((&now["status"], &now["templateVersion"]), (&json!("active"), &json!(version)), "{now}");
        now
    }

    /// Returns the features in the manifest. Asserts that they are none or one complete version.
    pub(crate) async fn shown(&self) -> Vec<(String, String)> {
        let path = format!("/api/v1/platforms/{}/entities/{}/manifest", self.platform, self.tenant);
        let shown = self.registry().get(&path).await.expect(200);
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let shown: Vec<_> = shown["features"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(one, "id"), text(one, "version")))
            .collect();
        let complete = [owned(&[]), owned(&OLD), owned(&NEW)];
        assert!(complete.contains(&shown), "a mixture of versions: {shown:?}");
        shown
    }

    /// Returns the objects of the stack at the provider, by kind and suffix of the name.
    pub(crate) async fn live(&self) -> Vec<String> {
        let live = self.mall.system.provider.live().await.unwrap();
        let part = format!("{}-{}-", self.platform, self.id);
        let of_host = format!(".svc.{}.{}.", self.id, self.platform);
        let mut names: Vec<_> = live
            .iter()
            .filter_map(|one| {
                let host = one.name.split_once(&of_host).map(|(feature, _)| feature);
                one.name.strip_prefix(&part).or(host).map(|name| format!("{} {name}", one.kind))
            })
            .collect();
        names.sort();
        names
    }

    /// Returns the provider's id of a worker's deployment.
    pub(crate) async fn deployment(&self, feature: &str) -> Value {
        let name = format!("{}-{}-{feature}", self.platform, self.id);
        let target = Target::plain(&crate::providers::targets::owner(), ResourceKind::Worker, name).unwrap();
        self.mall.system.provider.observe(&target).await.unwrap().unwrap().details["deployment"].clone()
    }

    /// Asserts that the stack is complete and that no object was created twice. Data of earlier features may exist.
    pub(crate) async fn assert_is(&self, version: &str, why: &str) {
        let (features, shared): (_, &[&str]) = if version == "1.0.0" {
            (OLD, &["d1 shared-db"])
        } else {
            (NEW, &["d1 shared-db", "kv shared-kv"])
        };
        assert_eq!(self.shown().await, owned(&features), "{why}");
        let live = self.live().await;
        let running: Vec<_> =
            live.iter().filter(|name| !name.ends_with("-db") && !name.ends_with("-kv")).collect();
        let kinds = ["dns_record", "worker"];
        let expected: Vec<_> =
            kinds.iter().flat_map(|kind| features.map(|(id, _)| format!("{kind} {id}"))).collect();
        assert_eq!(running, expected.iter().collect::<Vec<_>>(), "{why}");
        let data = features.map(|(id, _)| format!("d1 {id}-db"));
        let missing: Vec<_> = data
            .iter()
            .map(String::as_str)
            .chain(shared.iter().copied())
            .filter(|one| !live.iter().any(|name| name == one))
            .collect();
        assert!(missing.is_empty(), "{why}: {missing:?} of {live:?}");
        let registered = self.mall.system.resources(&self.platform).await;
        assert!(registered.iter().all(|one| one["status"] == "active"), "{why}: {registered:?}");
        let hosts = live.iter().filter(|name| name.starts_with("dns_record")).count();
        assert_eq!(registered.len(), live.len() - hosts, "{why}");
        assert_eq!(self.hosts().await, hosts, "{why}");
        assert_eq!(self.mall.system.provider.duplicates().await.unwrap(), [""; 0], "{why}");
    }

    async fn hosts(&self) -> usize {
        self.registry().get(&self.path("/dns")).await.expect(200)["data"].as_array().unwrap().len()
    }

    /// Asserts that neither the provider nor the registry has any object of the stack.
    pub(crate) async fn assert_nothing_left(&self, why: &str) {
        assert_eq!(self.live().await, [""; 0], "{why}");
        assert!(self.mall.system.resources(&self.platform).await.is_empty(), "{why}");
        assert_eq!((self.hosts().await, self.shown().await), (0, owned(&[])), "{why}");
    }
}

pub(crate) fn owned(features: &[(&str, &str)]) -> Vec<(String, String)> {
    features.iter().map(|(id, version)| ((*id).to_owned(), (*version).to_owned())).collect()
}

#[tokio::test]
async fn stack_is_created_upgraded_rolled_back_and_deleted() {
    let mall = Mall::start(None).await;
    let stack = mall.stack("acme").await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "created").await;
    let names: Vec<_> = mall.system.resources(&stack.platform).await;
    assert!(
        names.iter().all(|one| one["entityId"] == stack.tenant && one["stackId"] == stack.id),
        "{names:?}"
    );
    let old = stack.deployment("cart").await;

    stack.upgrade(NEXT).await;
    stack.active(NEXT).await;
    stack.assert_is(NEXT, "upgraded").await;
    assert!(
        stack.live().await.contains(&"d1 theme-db".to_owned()),
        "the data of a removed feature was deleted"
    );
    assert_ne!(stack.deployment("cart").await, old);

    stack.rollback().await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "rolled back").await;
    assert_eq!(stack.deployment("cart").await, old);

    stack.delete(false).await;
    let left = ["d1 cart-db", "d1 shared-db", "d1 theme-db", "d1 wish-db", "kv shared-kv"];
    assert_eq!(stack.live().await, left, "the data was deleted");
    assert_eq!(mall.system.resources(&stack.platform).await.len(), left.len());
    assert_eq!(stack.shown().await, owned(&[]));

    let other = mall.stack("other").await;
    other.active("1.0.0").await;
    other.delete(true).await;
    assert_eq!(other.live().await, [""; 0]);
    assert!(mall.system.resources(&other.platform).await.is_empty());
}

#[tokio::test]
async fn failed_cleanup_does_not_fail_the_upgrade() {
    let mall = Mall::start(None).await;
    let stack = mall.stack("acme").await;
    stack.active("1.0.0").await;
    mall.system.provider.follow([refuse(ResourceKind::Worker, Operation::Destroy)]).await.unwrap();
    let job = stack.upgrade(NEXT).await;
    stack.active(NEXT).await;
    let job = mall.system.job_in(&job, "COMPLETED").await;
    assert_eq!(job["error"], Value::Null, "{job}");
    assert!(stack.live().await.contains(&"worker theme".to_owned()));
    let body = json!({ "deleteData": true });
    let deleted =
        stack.registry().send(reqwest::Method::DELETE, &stack.path(""), &body, &[]).await.expect(202);
    let job = deleted["provisionJobId"].as_str().unwrap();
    mall.system.job_in(job, "FAILED").await;
    mall.system.provider.follow([]).await.unwrap();
    mall.system
        .provisioning
        .post(&format!("/api/v1/provision/jobs/{job}/retry"), json!({}))
        .await
        .expect(200);
    mall.system.job_in(job, "COMPLETED").await;
    assert_eq!(stack.live().await, [""; 0], "the remains of the upgrade were not removed");
}

#[tokio::test]
async fn stack_rejected_by_the_provider_fails_and_leaves_no_resources() {
    let mall = Mall::start(None).await;
    mall.system.provider.follow([refuse(ResourceKind::DnsRecord, Operation::Ensure)]).await.unwrap();
    let stack = mall.stack("acme").await;
    let now = stack.settled().await;
    assert_eq!(now["status"], "failed", "{now}");
    assert!(now["error"].as_str().unwrap().contains("quota of the account is used up"), "{now}");
    stack.assert_nothing_left("refused").await;
    mall.system.provider.follow([]).await.unwrap();
    stack.upgrade("1.0.0").await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "requested again").await;
}

#[tokio::test]
async fn operator_can_queue_stack_jobs() {
    let mall = Mall::start(None).await;
    let stack = mall.stack("acme").await;
    stack.active("1.0.0").await;
    let queue = async |path: &str, body: Value| {
        let queued = mall.system.provisioning.post(&format!("/api/v1/provision/stack/{path}"), body).await;
        queued.expect(202)["jobId"].as_str().unwrap().to_owned()
    };
    let body = json!({ "platformId": stack.platform, "stackId": stack.id });
    let job = queue("activate", body.clone()).await;
    mall.system.job_in(&job, "COMPLETED").await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "once more").await;
    let job =
        queue("deactivate", json!({ "deleteData": true, "platformId": stack.platform, "stackId": stack.id }))
            .await;
    mall.system.job_in(&job, "COMPLETED").await;
    assert_eq!(stack.live().await, [""; 0]);
    stack.registry().get(&stack.path("")).await.expect_error(404, "NOT_FOUND");
    let job = queue("activate", body).await;
    mall.system.job_in(&job, "ROLLED_BACK").await;
}

#[tokio::test]
async fn stack_deleted_during_creation_leaves_no_resources() {
    let mall = Mall::start(None).await;
    for n in 0..6u64 {
        let stack = mall.stack(&format!("p-{n}")).await;
        tokio::time::sleep(Duration::from_millis(n * 15)).await;
        stack.delete(true).await;
        assert_eq!(stack.live().await, [""; 0], "{n}");
        assert!(mall.system.resources(&stack.platform).await.is_empty(), "{n}");
    }
}

#[tokio::test]
async fn deletion_of_a_platform_removes_its_stacks() {
    let mall = Mall::start(None).await;
    let stack = mall.stack("acme").await;
    stack.active("1.0.0").await;
    let platform = format!("/api/v1/platforms/{}", stack.platform);
    stack.registry().post(&format!("{platform}/suspend"), json!({})).await.expect(200);
    stack.registry().post(&format!("{platform}/delete"), json!({})).await.expect(200);
    for _ in 0..1500 {
        if stack.live().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left: {:?}", stack.live().await);
}

#[tokio::test]
async fn deprovisioned_platform_has_failed_stacks_and_an_empty_manifest() {
    let mall = Mall::start(None).await;
    let stack = mall.stack("acme").await;
    stack.active("1.0.0").await;
    let body = json!({ "platformId": stack.platform });
    let queued =
        mall.system.provisioning.post("/api/v1/provision/platform/deprovision", body).await.expect(202);
    mall.system.job_in(queued["jobId"].as_str().unwrap(), "COMPLETED").await;
    stack.assert_nothing_left("taken down").await;
    let now = stack.get().await;
    assert_eq!(now["status"], "failed", "{now}");
    assert!(now["error"].as_str().unwrap().contains("was removed"), "{now}");
    stack.upgrade("1.0.0").await;
    stack.active("1.0.0").await;
    stack.assert_is("1.0.0", "created again").await;
}
