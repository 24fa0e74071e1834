//! The whole system in one process, each service with its own database.

use std::time::Duration;

use ::saga::Interpose;
use fake_provider::{FakeProvider, FakeProvisioning};
use iam::Iam;
use onboarding::Onboarding;
use provisioning::providers::Clock;
use registry::Registry;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use tempfile::TempDir;
use testkit::{HeldPort, Keys, TestDb, TestService};

use crate::relay::Relay;

pub(crate) struct System {
    pub(crate) registry: TestService,
    pub(crate) stacks: TestService,
    pub(crate) provisioning: TestService,
    pub(crate) onboarding: TestService,
    /// What the provider made, and what it was asked.
    pub(crate) provider: FakeProvider,
    pub(crate) folder: TempDir,
    /// The line from onboarding to provisioning, if it is one that can be cut.
    relay: Option<Relay>,
    iam: u16,
    _held: [HeldPort; 5],
}

/// How often the engines look and how soon a dead one is succeeded: quick, because tests wait for it.
pub(crate) fn quick_engine() -> Value {
    json!({ "concurrency": 16, "lease": "1s", "poll": "20ms" })
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_interposed(None, None).await
    }

    /// With something that interferes with the sagas of onboarding and of provisioning.
    pub(crate) async fn start_interposed(
        onboarding: Option<Interpose>,
        provisioning: Option<Interpose>,
    ) -> Self {
        Self::start_with(onboarding, provisioning, quick_engine()).await
    }

    /// The same with other engines.
    pub(crate) async fn start_with(
        onboarding: Option<Interpose>,
        provisioning: Option<Interpose>,
        engine: Value,
    ) -> Self {
        Self::start_all(onboarding, provisioning, engine, false).await
    }

    /// The same with a line between onboarding and provisioning that can be cut.
    pub(crate) async fn start_relayed(onboarding: Option<Interpose>) -> Self {
        Self::start_all(onboarding, None, quick_engine(), true).await
    }

    async fn start_all(
        onboarding: Option<Interpose>,
        provisioning: Option<Interpose>,
        engine: Value,
        relayed: bool,
    ) -> Self {
        let (keys, folder) = (Keys::new(), tempfile::tempdir().unwrap());
        let provider = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
        let held: [HeldPort; 5] = std::array::from_fn(|_| HeldPort::new());
        let [grpc_registry, grpc_stacks, grpc_provisioning, grpc_onboarding, iam] =
            held.each_ref().map(|port| port.address.port());
        let url = |port: u16| json!({ "url": format!("http://127.0.0.1:{port}") });
        let bind = |port: u16| json!({ "bind": format!("127.0.0.1:{port}") });

        let set = json!({ "grpc": bind(grpc_stacks) });
        let stacks =
            TestService::start_on::<StackRegistry>(TestDb::of::<StackRegistry>().await, keys.clone(), set)
                .await;
        let peers = json!({
            "stack_registry": url(grpc_stacks), "provisioning": url(grpc_provisioning),
            "onboarding": url(grpc_onboarding),
        });
        let set = json!({ "grpc": bind(grpc_registry), "service": peers });
        let registry =
            TestService::start_on::<Registry>(TestDb::of::<Registry>().await, keys.clone(), set).await;
        let set = json!({ "grpc": bind(grpc_provisioning), "service": {
            "data_dir": folder.path(), "registry": url(grpc_registry), "engine": engine,
            "domains": { "check_every": "300ms" },
        }});
        let db = TestDb::of::<FakeProvisioning>().await;
        let provisioning =
            TestService::start_built::<FakeProvisioning, _>(db, keys.clone(), set, |settings, shutdown| {
                FakeProvisioning::build_interposed(settings, shutdown, provisioning)
            })
            .await;
        let relay = if relayed { Some(Relay::to(held[2].address).await) } else { None };
        let to_provisioning = relay.as_ref().map_or(grpc_provisioning, |relay| relay.address.port());
        let set = json!({ "grpc": bind(grpc_onboarding), "service": {
            "registry": url(grpc_registry), "provisioning": url(to_provisioning), "iam": url(iam),
            "engine": engine,
        }});
        let db = TestDb::of::<Onboarding>().await;
        let onboarding = TestService::start_built::<Onboarding, _>(db, keys, set, |settings, shutdown| {
            Onboarding::build_interposed(settings, shutdown, onboarding)
        })
        .await;
        Self { registry, stacks, provisioning, onboarding, provider, folder, relay, iam, _held: held }
    }

    pub(crate) fn relay(&self) -> &Relay {
        self.relay.as_ref().unwrap()
    }

    /// Starts iam, which is asked where a person onboards.
    pub(crate) async fn iam(&self) -> TestService {
        let set = json!({
            "grpc": { "bind": format!("127.0.0.1:{}", self.iam) },
            "service": { "registry": { "url": format!("http://{}", self.registry.grpc) } },
        });
        TestService::start_on::<Iam>(TestDb::of::<Iam>().await, self.registry.keys.clone(), set).await
    }

    /// Starts an onboarding and gives its id.
    pub(crate) async fn onboard(&self, slug: &str) -> String {
        let body = json!({ "platformName": "Acme", "slug": slug, "tier": "starter" });
        let started = self.onboarding.post("/api/v1/onboarding", body).await.expect(201);
        started["onboardingId"].as_str().unwrap().to_owned()
    }

    /// The session once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        for _ in 0..3000 {
            let session = self.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.expect(200);
            if session["status"] != "in_progress" {
                return session;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still in progress: {}", self.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.body);
    }

    /// Checks that the onboarding left one whole platform and nothing else.
    pub(crate) async fn assert_whole(&self, session: &Value) {
        assert_eq!(session["status"], "completed", "{session}");
        let id = session["platformId"].as_str().unwrap();
        let platform = self.registry.get(&format!("/api/v1/platforms/{id}")).await.expect(200);
        assert_eq!(platform["status"], "active");
        let resources = self.registry.get(&format!("/api/v1/platforms/{id}/resources")).await.expect(200);
        let mut names: Vec<_> =
            resources["data"].as_array().unwrap().iter().map(|one| one["cfName"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, [format!("{id}-default-auth"), format!("{id}-default-auth-db")]);
        assert!(
            resources["data"].as_array().unwrap().iter().all(|one| one["status"] == "active"),
            "{resources}"
        );
        let builds = self.registry.get(&format!("/api/v1/platforms/{id}/builds")).await.expect(200);
        assert_eq!(builds["data"].as_array().unwrap().len(), 1, "{builds}");
        assert_eq!(builds["data"][0]["buildStatus"], "success");
        let events = self.registry.get(&format!("/api/v1/platforms/{id}/lifecycle")).await.expect(200);
        let to: Vec<_> = events["data"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|one| one["toStatus"].as_str().unwrap())
            .collect();
        assert_eq!(to, ["pending", "provisioning", "active"], "each happened once, in order");
        // d1, worker, its secret, two host names, the repository.
        let live = self.provider.live().await.unwrap();
        assert_eq!(live.len(), 6, "{live:?}");
        assert_eq!(self.provider.doubles().await.unwrap(), Vec::<String>::new());
    }

    /// Checks that nothing is left of the onboarding and that its slug is free again.
    pub(crate) async fn assert_nothing_left(&self, session: &Value, slug: &str) {
        let id = session["platformId"].as_str().unwrap();
        self.registry.get(&format!("/api/v1/platforms/{id}")).await.expect_error(404, "NOT_FOUND");
        let live = self.provider.live().await.unwrap();
        assert!(live.is_empty(), "orphans: {live:?}");
        let platforms = self.registry.get("/api/v1/platforms").await.expect(200);
        assert_eq!(platforms["pagination"]["total"], 0, "{platforms}");
        let body = json!({ "name": "Next", "slug": slug });
        self.registry.post("/api/v1/platforms", body).await.expect(201);
    }
}
