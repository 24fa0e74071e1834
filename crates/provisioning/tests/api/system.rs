//! A registry and provisioning on real sockets, with a provider that does as it is told.

use std::time::Duration;

use fake_provider::{FakeProvider, FakeProvisioning};
use provisioning::providers::Clock;
use registry::Registry;
use saga::Interpose;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{HeldPort, Keys, TestDb, TestService};

pub(crate) struct System {
    pub(crate) registry: TestService,
    pub(crate) provisioning: TestService,
    pub(crate) provider: FakeProvider,
    folder: TempDir,
    _held: HeldPort,
}

/// A registry whose peer is not there yet.
pub(crate) struct Registered {
    pub(crate) registry: TestService,
    keys: Keys,
    port: u16,
    held: HeldPort,
}

impl Registered {
    pub(crate) async fn start() -> Self {
        Self::start_with(Keys::new(), json!({})).await
    }

    /// With a registry that asks this stack registry.
    pub(crate) async fn beside(stacks: &TestService) -> Self {
        let url = json!({ "url": format!("http://{}", stacks.grpc) });
        Self::start_with(stacks.keys.clone(), json!({ "service": { "stack_registry": url } })).await
    }

    async fn start_with(keys: Keys, more: Value) -> Self {
        let held = HeldPort::new();
        let port = held.address.port();
        let url = json!({ "url": format!("http://127.0.0.1:{port}") });
        let mut set = json!({ "service": { "provisioning": url } });
        runtime::config::put_over(&mut set, more);
        let db = TestDb::of::<Registry>().await;
        let registry = TestService::start_on::<Registry>(db, keys.clone(), set).await;
        Self { registry, keys, port, held }
    }

    /// Starts provisioning, with something that interferes with its jobs.
    pub(crate) async fn provision(self, interpose: Option<Interpose>) -> System {
        self.provision_with(json!({}), interpose).await
    }

    /// The same, with something of provisioning's own set otherwise.
    async fn provision_with(self, own: Value, interpose: Option<Interpose>) -> System {
        let Self { registry, keys, port, held } = self;
        let folder = tempfile::tempdir().unwrap();
        let provider = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
        let mut set = json!({ "grpc": { "bind": format!("127.0.0.1:{port}") }, "service": {
            "data_dir": folder.path(),
            "registry": { "url": format!("http://{}", registry.grpc) },
            "engine": { "concurrency": 8, "lease": "1s", "poll": "20ms" },
        }});
        runtime::config::put_over(&mut set, json!({ "service": own }));
        let db = TestDb::of::<FakeProvisioning>().await;
        let provisioning =
            TestService::start_built::<FakeProvisioning, _>(db, keys, set, |settings, shutdown| {
                FakeProvisioning::build_interposed(settings, shutdown, interpose)
            })
            .await;
        System { registry, provisioning, provider, folder, _held: held }
    }
}

impl System {
    pub(crate) async fn start() -> Self {
        Registered::start().await.provision(None).await
    }

    /// With something of provisioning's own set otherwise.
    pub(crate) async fn start_with(own: Value) -> Self {
        Registered::start().await.provision_with(own, None).await
    }

    /// A second replica of provisioning on the same database, which the first must outlive.
    pub(crate) async fn replica(&self, own: Value) -> TestService {
        let mut set = json!({
            "database": { "url": self.provisioning.db.app_url },
            "identity": { "keys_dir": self.provisioning.keys.dir() },
            "service": {
                "data_dir": self.folder.path(),
                "registry": { "url": format!("http://{}", self.registry.grpc) },
            },
        });
        runtime::config::put_over(&mut set, json!({ "service": own }));
        TestService::start_with::<FakeProvisioning>(set).await
    }

    pub(crate) async fn platform(&self, slug: &str) -> String {
        let made = self
            .registry
            .post("/api/v1/platforms", json!({ "name": "Acme", "slug": slug }))
            .await
            .expect(201);
        made["id"].as_str().unwrap().to_owned()
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
            // One that was asked for elsewhere may be yet to come.
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
