//! The whole system in one process, each service with its own database.

use std::time::Duration;

use ::saga::FaultInjector;
use fake_provider::{FakeProvider, FakeProvisioning};
use iam::Iam;
use onboarding::Onboarding;
use provisioning::providers::Clock;
use registry::Registry;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use tempfile::TempDir;
use testkit::TestService;

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
    services: testkit::System,
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
        onboarding: Option<FaultInjector>,
        provisioning: Option<FaultInjector>,
    ) -> Self {
        Self::start_with(onboarding, provisioning, quick_engine()).await
    }

    /// The same with other engines.
    pub(crate) async fn start_with(
        onboarding: Option<FaultInjector>,
        provisioning: Option<FaultInjector>,
        engine: Value,
    ) -> Self {
        Self::start_all(onboarding, provisioning, engine, false).await
    }

    /// The same with a line between onboarding and provisioning that can be cut.
    pub(crate) async fn start_relayed(onboarding: Option<FaultInjector>) -> Self {
        Self::start_all(onboarding, None, quick_engine(), true).await
    }

    async fn start_all(
        onboarding: Option<FaultInjector>,
        provisioning: Option<FaultInjector>,
        engine: Value,
        relayed: bool,
    ) -> Self {
        let (services, folder) = (testkit::System::new(), tempfile::tempdir().unwrap());
        let provider = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
        let stacks = services.start::<StackRegistry>(json!({})).await;
        let registry = services.start::<Registry>(json!({})).await;
        let own = json!({
            "data_dir": folder.path(), "engine": engine, "domains": { "check_every": "300ms" },
        });
        let build = |settings, shutdown| {
            FakeProvisioning::build_with_fault_injector(settings, shutdown, provisioning)
        };
        let provisioning = services.start_built::<FakeProvisioning, _>(own, build).await;
        let mut own = json!({ "engine": engine });
        let mut relay = None;
        if relayed {
            let line = Relay::to(services.grpc("provisioning")).await;
            own["provisioning"] = json!({ "url": format!("http://{}", line.address) });
            relay = Some(line);
        }
        let build =
            |settings, shutdown| Onboarding::build_with_fault_injector(settings, shutdown, onboarding);
        let onboarding = services.start_built::<Onboarding, _>(own, build).await;
        Self { registry, stacks, provisioning, onboarding, provider, folder, relay, services }
    }

    pub(crate) fn relay(&self) -> &Relay {
        self.relay.as_ref().unwrap()
    }

    /// Starts iam, which is asked where a person onboards.
    pub(crate) async fn iam(&self) -> TestService {
        self.services.start::<Iam>(json!({})).await
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
        assert_eq!(self.provider.duplicates().await.unwrap(), Vec::<String>::new());
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
