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
    /// A handle to the provider's state and script.
    pub(crate) provider: FakeProvider,
    pub(crate) folder: TempDir,
    /// The relay from onboarding to provisioning, if the system has one.
    relay: Option<Relay>,
    services: testkit::System,
}

/// Engine settings with a short lease and polling interval, because tests wait for them.
pub(crate) fn quick_engine() -> Value {
    json!({ "concurrency": 16, "lease": "1s", "poll": "20ms" })
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_with_faults(None, None).await
    }

    /// Starts the system with fault injectors for the sagas of onboarding and of provisioning.
    pub(crate) async fn start_with_faults(
        onboarding: Option<FaultInjector>,
        provisioning: Option<FaultInjector>,
    ) -> Self {
        Self::start_with(onboarding, provisioning, quick_engine()).await
    }

    /// Starts the system with fault injectors and engine settings.
    pub(crate) async fn start_with(
        onboarding: Option<FaultInjector>,
        provisioning: Option<FaultInjector>,
        engine: Value,
    ) -> Self {
        Self::start_all(onboarding, provisioning, engine, false).await
    }

    /// Starts the system with a relay between onboarding and provisioning.
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
            let started = Relay::to(services.grpc("provisioning")).await;
            own["provisioning"] = json!({ "url": format!("http://{}", started.address) });
            relay = Some(started);
        }
        let build =
            |settings, shutdown| Onboarding::build_with_fault_injector(settings, shutdown, onboarding);
        let onboarding = services.start_built::<Onboarding, _>(own, build).await;
        Self { registry, stacks, provisioning, onboarding, provider, folder, relay, services }
    }

    pub(crate) fn relay(&self) -> &Relay {
        self.relay.as_ref().unwrap()
    }

    /// Starts iam, which onboardings of signed-in users need.
    pub(crate) async fn iam(&self) -> TestService {
        self.services.start::<Iam>(json!({})).await
    }

    /// Starts an onboarding and returns its id.
    pub(crate) async fn onboard(&self, slug: &str) -> String {
        let body = json!({ "platformName": "Acme", "slug": slug, "tier": "starter" });
        let started = self.onboarding.post("/api/v1/onboarding", body).await.expect(201);
        started["onboardingId"].as_str().unwrap().to_owned()
    }

    /// Waits until the onboarding has ended, and returns it.
    pub(crate) async fn wait_for_end(&self, id: &str) -> Value {
        for _ in 0..3000 {
            let onboarding = self.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.expect(200);
            if onboarding["status"] != "in_progress" {
                return onboarding;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still in progress: {}", self.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.body);
    }

    /// Asserts that the onboarding created one complete platform and nothing else.
    pub(crate) async fn assert_complete(&self, onboarding: &Value) {
        assert_eq!(onboarding["status"], "completed", "{onboarding}");
        let id = onboarding["platformId"].as_str().unwrap();
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

    /// Asserts that nothing is left of the onboarding and that its slug is free again.
    pub(crate) async fn assert_nothing_left(&self, onboarding: &Value, slug: &str) {
        let id = onboarding["platformId"].as_str().unwrap();
        self.registry.get(&format!("/api/v1/platforms/{id}")).await.expect_error(404, "NOT_FOUND");
        let live = self.provider.live().await.unwrap();
        assert!(live.is_empty(), "orphans: {live:?}");
        let platforms = self.registry.get("/api/v1/platforms").await.expect(200);
        assert_eq!(platforms["pagination"]["total"], 0, "{platforms}");
        let body = json!({ "name": "Next", "slug": slug });
        self.registry.post("/api/v1/platforms", body).await.expect(201);
    }
}
