//! A saga of each kind: its subject, its start and its expected effects.

use std::fs;

use domain::job::JobType;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{TestSystem, Up, eventually};

type Version = (&'static str, &'static [(&'static str, &'static str)]);

const OLD: Version = ("1.0.0", &[("cart", "1.0.0"), ("search", "1.0.0"), ("theme", "1.0.0")]);
const NEW: Version = ("2.0.0-rc.1", &[("cart", "2.0.0"), ("search", "1.1.0"), ("wish", "1.0.0")]);

async fn post(up: &Up, path: &str, body: Value) -> Value {
    let (status, body) = up.call(Method::POST, path, Some(body)).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {body}");
    body
}

fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

fn kind(name: &str) -> JobType {
    JobType::parse(name).expect("a known kind")
}

/// A platform with a tenant.
struct Tenant {
    platform: String,
    path: String,
}

/// A stack of the template `mall`, and its tenant.
struct Stack {
    tenant: Tenant,
    path: String,
}

/// A platform for each kind of job.
pub(crate) struct Scenario {
    provisioned: String,
    deprovisioned: String,
    activating: Tenant,
    deactivating: Tenant,
    upgraded: Stack,
    deleted: Stack,
}

impl Tenant {
    async fn new(up: &Up, slug: &str) -> Self {
        let platform = up.create_platform(slug).await;
        let tenant = json!({ "name": "Tenant", "slug": "t", "type": "tenant" });
        let at = format!("/api/v1/platforms/{platform}/entities");
        let tenant = id(&post(up, &at, tenant).await);
        Self { path: format!("{at}/{tenant}"), platform }
    }

    async fn activate(&self, up: &Up) {
        let body = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
        post(up, &format!("{}/features/activate", self.path), body).await;
    }

    async fn feature_is(&self, up: &Up, status: &str) {
        eventually(&format!("the feature is {status}"), async || {
            up.get(&format!("{}/features/billing", self.path)).await["status"] == status
        })
        .await;
    }
}

impl Stack {
    async fn new(up: &Up, slug: &str) -> Self {
        let tenant = Tenant::new(up, slug).await;
        let at = format!("/api/v1/platforms/{}/stacks", tenant.platform);
        let (_, tenant_id) = tenant.path.rsplit_once('/').unwrap();
        let body = json!({ "tenantId": tenant_id, "name": "main", "templateId": "mall" });
        let stack = id(&post(up, &at, body).await);
        Self { path: format!("{at}/{stack}"), tenant }
    }

    async fn runs(&self, up: &Up, (version, features): Version) {
        let mut now = Value::Null;
        eventually(&format!("{version} runs"), async || {
            now = up.get(&self.path).await;
            now["status"] == "active" && now["templateVersion"] == version
        })
        .await;
        assert_eq!(now["error"], Value::Null, "{now}");
        assert_eq!(self.features(up).await.len(), features.len());
    }

    /// Returns the features in the manifest. Asserts that they are those of one version, or none before the first activation.
    async fn features(&self, up: &Up) -> Vec<(String, String)> {
        let manifest = up.get(&format!("{}/manifest", self.tenant.path)).await;
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let listed: Vec<_> = manifest["features"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(one, "id"), text(one, "version")))
            .collect();
        let is = |features: &[(&str, &str)]| {
            listed.iter().map(|(id, version)| (id.as_str(), version.as_str())).eq(features.iter().copied())
        };
        assert!([&[], OLD.1, NEW.1].into_iter().any(is), "a mixture of versions: {manifest}");
        listed
    }
}

async fn publish(up: &Up) {
    let template = json!({ "name": "mall", "displayName": "Mall", "description": "Sells" });
    post(up, "/api/v1/stacks", template).await;
    for (version, features) in [OLD, NEW] {
        let features: Vec<Value> = features
            .iter()
            .map(|(id, version)| {
                json!({ "id": id, "version": version, "package": format!("@mall/{id}"), "required": true, "permissions": [] })
            })
            .collect();
        let resources = json!({ "d1": true, "r2": true, "kv": true, "queue": true });
        let definition = json!({ "schemaVersion": 1, "displayName": "Mall", "features": features, "resources": resources });
        let body = json!({ "version": version, "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
        post(up, "/api/v1/stacks/mall/versions", body).await;
    }
}

async fn provision(up: &Up, platform: &str) {
    let body = json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.example" });
    post(up, "/api/v1/provisioning/platform", body).await;
}

/// Waits until the only job of this kind for the platform is done.
async fn job_done(up: &Up, platform: &str, kind: JobType) {
    let path = format!("/api/v1/provisioning/jobs?platformId={platform}");
    eventually(&format!("{kind} is done"), async || {
        let jobs = up.get(&path).await;
        let jobs = jobs["data"].as_array().unwrap();
        let jobs: Vec<_> = jobs.iter().filter(|job| job["type"] == kind.as_str()).collect();
        assert!(jobs.len() < 2, "{jobs:?}");
        jobs.first().is_some_and(|job| job["status"] == "COMPLETED")
    })
    .await;
}

/// Asserts the number of provisioned resources of each kind on disk, and that the registry lists the same number for the
/// platform.
async fn assert_provisioned(system: &TestSystem, up: &Up, platform: &str, expected: &[(&str, usize)]) {
    let count = |kind: &str| {
        let entries = fs::read_dir(system.data().join("provider").join(kind)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(platform)).count()
    };
    for kind in ["d1", "worker", "r2", "kv", "queue", "git_repository"] {
        let expected = expected.iter().find(|(name, _)| *name == kind).map_or(0, |(_, count)| *count);
        assert_eq!(count(kind), expected, "{kind} of {platform}");
    }
    let listed = up.get(&format!("/api/v1/platforms/{platform}/resources?limit=100")).await;
    let listed = listed["data"].as_array().unwrap();
    assert!(listed.iter().all(|one| one["status"] == "active"), "{listed:?}");
    let expected: usize =
        expected.iter().filter(|(kind, _)| *kind != "git_repository").map(|(_, count)| count).sum();
    assert_eq!(listed.len(), expected, "{listed:?}");
}

impl Scenario {
    pub(crate) async fn prepare(up: &Up) -> Self {
        publish(up).await;
        let scenario = Self {
            provisioned: up.create_platform("provisioned").await,
            deprovisioned: up.create_platform("deprovisioned").await,
            activating: Tenant::new(up, "activating").await,
            deactivating: Tenant::new(up, "deactivating").await,
            upgraded: Stack::new(up, "upgraded").await,
            deleted: Stack::new(up, "deleted").await,
        };
        provision(up, &scenario.deprovisioned).await;
        scenario.deactivating.activate(up).await;
        job_done(up, &scenario.deprovisioned, JobType::ProvisionPlatform).await;
        scenario.deactivating.feature_is(up, "active").await;
        for stack in [&scenario.upgraded, &scenario.deleted] {
            stack.runs(up, OLD).await;
            job_done(up, &stack.tenant.platform, JobType::ActivateStack).await;
        }
        scenario
    }

    /// Returns the platform of the job of a kind.
    pub(crate) fn subject(&self, name: &str) -> &str {
        match kind(name) {
            JobType::ProvisionPlatform => &self.provisioned,
            JobType::DeprovisionPlatform => &self.deprovisioned,
            JobType::ActivateFeature => &self.activating.platform,
            JobType::DeactivateFeature => &self.deactivating.platform,
            JobType::ActivateStack => &self.upgraded.tenant.platform,
            JobType::DeactivateStack => &self.deleted.tenant.platform,
        }
    }

    pub(crate) async fn start(&self, up: &Up, name: &str) {
        let path = |stack: &Stack, more: &str| format!("{}{more}", stack.path);
        match kind(name) {
            JobType::ProvisionPlatform => provision(up, &self.provisioned).await,
            JobType::DeprovisionPlatform => {
                let body = json!({ "platformId": self.deprovisioned });
                post(up, "/api/v1/provisioning/platform/deprovision", body).await;
            }
            JobType::ActivateFeature => self.activating.activate(up).await,
            JobType::DeactivateFeature => {
                let body = json!({ "featureId": "billing", "environment": "prod", "deleteData": true });
                post(up, &format!("{}/features/deactivate", self.deactivating.path), body).await;
            }
            JobType::ActivateStack => {
                post(up, &path(&self.upgraded, "/upgrade"), json!({ "version": NEW.0 })).await;
            }
            JobType::DeactivateStack => {
                let body = Some(json!({ "deleteData": true }));
                let deleted = up.call(Method::DELETE, &self.deleted.path, body).await.unwrap();
                assert_eq!(deleted.0, 202, "{}", deleted.1);
            }
        }
    }

    pub(crate) async fn assert_no_mixture(&self, up: &Up) {
        self.upgraded.features(up).await;
        self.deleted.features(up).await;
    }

    pub(crate) async fn assert_done(&self, system: &TestSystem, up: &Up, name: &str) {
        let (platform, service) = (self.subject(name), [("d1", 1), ("worker", 1)]);
        // The platform has a completed job of this kind already: the first activation.
        if kind(name) == JobType::ActivateStack {
            self.upgraded.runs(up, NEW).await;
            // The data of the removed feature stays.
            let expected = [("d1", 5), ("worker", 3), ("r2", 1), ("kv", 1), ("queue", 1)];
            return assert_provisioned(system, up, platform, &expected).await;
        }
        job_done(up, platform, kind(name)).await;
        match kind(name) {
            JobType::ProvisionPlatform => assert_provisioned(system, up, platform, &service).await,
            JobType::ActivateFeature => {
                self.activating.feature_is(up, "active").await;
                assert_provisioned(system, up, platform, &service).await;
            }
            JobType::DeactivateFeature => {
                self.deactivating.feature_is(up, "deactivated").await;
                assert_provisioned(system, up, platform, &[]).await;
            }
            JobType::DeprovisionPlatform | JobType::ActivateStack | JobType::DeactivateStack => {
                assert_provisioned(system, up, platform, &[]).await;
            }
        }
    }

    /// Starts an onboarding.
    pub(crate) async fn onboard(&self, up: &Up) -> String {
        let body = json!({ "platformName": "Acme", "slug": "onboarded", "tier": "starter" });
        post(up, "/api/v1/onboarding", body).await["onboardingId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn assert_onboarded(&self, system: &TestSystem, up: &Up, onboarding: &str) {
        let mut session = Value::Null;
        eventually("the onboarding ends", async || {
            session = up.get(&format!("/api/v1/onboarding/{onboarding}")).await;
            session["status"] != "in_progress"
        })
        .await;
        assert_eq!(session["status"], "completed", "{session}");
        let id = session["platformId"].as_str().unwrap();
        assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["status"], "active");
        let events = up.get(&format!("/api/v1/platforms/{id}/lifecycle")).await;
        let to: Vec<_> = events["data"].as_array().unwrap().iter().map(|one| &one["toStatus"]).collect();
        assert_eq!(to, ["active", "provisioning", "pending"], "each transition happened once");
        let builds = up.get(&format!("/api/v1/platforms/{id}/builds")).await;
        assert_eq!(builds["data"].as_array().unwrap().len(), 1, "{builds}");
        job_done(up, id, JobType::ProvisionPlatform).await;
        assert_provisioned(system, up, id, &[("d1", 1), ("worker", 1), ("git_repository", 1)]).await;
        let platforms = up.get("/api/v1/platforms").await;
        assert_eq!(platforms["pagination"]["total"], 6 + 1, "one platform for the onboarding");
    }
}
