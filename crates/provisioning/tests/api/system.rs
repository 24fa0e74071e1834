//! Test fixture: a registry and provisioning on real sockets with a scripted provider.

use std::time::Duration;

use fake_provider::{FakeProvider, FakeProvisioning};
use provisioning::providers::Clock;
use registry::Registry;
use saga::FaultInjector;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::TestService;

pub(crate) struct System {
    pub(crate) registry: TestService,
    pub(crate) provisioning: TestService,
    pub(crate) provider: FakeProvider,
    folder: TempDir,
    services: testkit::System,
}

/// A registry whose provisioning has not started yet.
pub(crate) struct RegistrySystem {
    pub(crate) registry: TestService,
    services: testkit::System,
}

impl RegistrySystem {
    pub(crate) async fn start() -> Self {
        Self::start_in(testkit::System::new()).await
    }

    /// A registry in a system whose stack registry may run already.
    pub(crate) async fn start_in(services: testkit::System) -> Self {
        Self { registry: services.start::<Registry>(json!({})).await, services }
    }

    /// Starts provisioning with a fault injector.
    pub(crate) async fn provision(self, fault_injector: Option<FaultInjector>) -> System {
        self.provision_with(json!({}), fault_injector).await
    }

    /// Starts provisioning with some of its own settings changed.
    async fn provision_with(self, settings: Value, fault_injector: Option<FaultInjector>) -> System {
        let Self { registry, services } = self;
        let folder = tempfile::tempdir().unwrap();
        let provider = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
        let mut set = json!({
            "data_dir": folder.path(), "engine": { "concurrency": 8, "lease": "1s", "poll": "20ms" },
        });
        runtime::config::merge(&mut set, settings);
        let build = |settings, shutdown| {
            FakeProvisioning::build_with_fault_injector(settings, shutdown, fault_injector)
        };
        let provisioning = services.start_built::<FakeProvisioning, _>(set, build).await;
        System { registry, provisioning, provider, folder, services }
    }
}

impl System {
    pub(crate) async fn start() -> Self {
        RegistrySystem::start().await.provision(None).await
    }

    /// Starts provisioning with some of its own settings changed.
    pub(crate) async fn start_with(settings: Value) -> Self {
        RegistrySystem::start().await.provision_with(settings, None).await
    }

    /// Starts a second replica of provisioning on the same database, which the first must outlive.
    pub(crate) async fn replica(&self, settings: Value) -> TestService {
        let mut set = json!({ "data_dir": self.folder.path() });
        runtime::config::merge(&mut set, settings);
        self.services.replica::<FakeProvisioning>(&self.provisioning, set).await
    }

    pub(crate) async fn platform(&self, slug: &str) -> String {
        self.registry.platform(slug).await.to_string()
    }

    pub(crate) async fn provision(&self, platform: &str) -> String {
        let body =
            json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.example" });
        let queued = self.provisioning.post("/api/v1/provision/platform", body).await.expect(202);
        assert_eq!(queued["status"], "QUEUED");
        queued["jobId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn job(&self, id: &str) -> Value {
        self.provisioning.get(&format!("/api/v1/provision/jobs/{id}")).await.expect(200)
    }

    pub(crate) async fn job_in(&self, id: &str, status: &str) -> Value {
        for _ in 0..1500 {
            // A job that another service requested may not be recorded yet.
            let job = self.provisioning.get(&format!("/api/v1/provision/jobs/{id}")).await.body;
            if job["status"] == status {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {status}: {}", self.job(id).await)
    }

    pub(crate) async fn resources(&self, platform: &str) -> Vec<Value> {
        let list = self.registry.get(&format!("/api/v1/platforms/{platform}/resources")).await.expect(200);
        list["data"].as_array().unwrap().clone()
    }
}
