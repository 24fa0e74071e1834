//! Access matrix: every operation × every role × every scope, with both tenancy layers and with each one alone. See
//! [`testkit::access_matrix`].
//!
//! Only operators may access jobs, regardless of their platform. The jobs here never proceed, because there is no
//! registry.

use diesel_async::SimpleAsyncConnection;
use domain::access::{AccessDecision, Target};
use fake_provider::FakeProvisioning;
use identity::ActorType;
use provisioning::Provisioning;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    TestService,
    access_matrix::{self, Case, Cell, Hierarchy, Principal, Scenario},
};

const PROVISION: &str = "/api/v1/provision";

struct Scene {
    provisioning: TestService,
    hierarchy: Hierarchy,
    /// Ids of jobs in different states, by placeholder.
    parts: Vec<(&'static str, String)>,
    _folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = json!({ "service": {
            "data_dir": folder.path(), "registry": { "url": "http://127.0.0.1:9" },
        }});
        let provisioning = TestService::start_with::<FakeProvisioning>(set).await;
        let hierarchy = Hierarchy::random();
        let mut scene = Self { provisioning, hierarchy, parts: Vec::new(), _folder: folder };
        for part in ["{live}", "{paused}", "{stuck}", "{ended}"] {
            let path = format!("{PROVISION}/platform");
            let queued = scene.provisioning.post(&path, scene.platform()).await.expect(202);
            scene.parts.push((part, queued["jobId"].as_str().unwrap().to_owned()));
        }
        let pause = scene.fill(&format!("{PROVISION}/jobs/{{paused}}/pause"));
        scene.provisioning.post(&pause, json!({})).await.expect(200);
        // The higher fence stops a runner that still works on the job.
        for (part, state) in [
            ("{stuck}", "status = 'stuck'"),
            ("{ended}", "status = 'undone', cause = 'cancelled', finished_at = now()"),
        ] {
            let sql =
                format!("UPDATE sagas SET fence = fence + 1, {state} WHERE id = '{}'", scene.fill(part));
            scene.provisioning.db.connect_as_owner().await.batch_execute(&sql).await.unwrap();
        }
        scene
    }

    /// Returns the request body that provisions a platform.
    fn platform(&self) -> Value {
        json!({ "platformId": self.hierarchy.own, "planTier": "starter", "billingEmail": "pay@acme.example" })
    }
}

impl Scenario for Scene {
    type Service = Provisioning;

    fn service(&self) -> &TestService {
        &self.provisioning
    }

    fn placeholders(&self) -> &[(&'static str, String)] {
        &self.parts
    }

    fn cases(&self) -> Vec<Case> {
        let (platform, entity) = (&self.hierarchy.own, &self.hierarchy.entity);
        let feature = json!({
            "platformId": platform, "entityId": entity, "featureId": "blog", "featureVersion": "1.0.0",
            "environment": "prod",
        });
        let stack = json!({ "platformId": platform, "stackId": "default" });
        let requests = [
            ("platform", self.platform()),
            ("platform/deprovision", json!({ "platformId": platform })),
            ("feature/activate", feature.clone()),
            ("feature/deactivate", feature),
            ("stack/activate", stack.clone()),
            ("stack/deactivate", stack),
        ];
        let queue = |(path, body)| Case::plain(Method::POST, &format!("{PROVISION}/{path}"), body);
        let mut cases: Vec<Case> = requests.into_iter().map(queue).collect();
        cases.push(Case::plain(Method::GET, &format!("{PROVISION}/jobs"), Value::Null));
        // The event stream of a running job does not end.
        for (method, part, verb) in [
            (Method::GET, "{live}", ""),
            (Method::GET, "{live}", "/explain"),
            (Method::GET, "{ended}", "/events"),
            (Method::POST, "{stuck}", "/retry"),
            (Method::POST, "{live}", "/cancel"),
            (Method::POST, "{live}", "/pause"),
            (Method::POST, "{paused}", "/resume"),
            (Method::POST, "{stuck}", "/discard"),
        ] {
            let at = |job: &str| format!("{PROVISION}/jobs/{job}{verb}");
            cases.push(Case::new(method, &at("{jobId}"), &at(part), Value::Null));
        }
        cases
    }

    fn principals(&self) -> Vec<Principal> {
        self.hierarchy.principals(ActorType::Apikey)
    }

    fn decision(&self, cell: &Cell<'_>) -> AccessDecision {
        cell.operation.decide(cell.principal.caller.grants(), &Target::Everything)
    }

    fn hidden(&self, principal: &Principal) -> Vec<String> {
        let jobs = self.parts.iter().map(|(_, id)| id.clone()).chain(["acme.example".to_owned()]);
        if principal.has_global_scope() { Vec::new() } else { jobs.collect() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_follows_the_access_matrix() {
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_valid_credentials_are_rejected() {
    access_matrix::assert_invalid_tokens_rejected(&Scene::new().await).await;
}

/// The scope filter must not rely on row-level security.
#[tokio::test(flavor = "multi_thread")]
async fn scope_filter_alone_separates_tenants() {
    let scene = Scene::new().await;
    access_matrix::disable_row_level_security(&scene).await;
    access_matrix::check(&scene).await.assert_passed();
}

/// Row-level security must not rely on the scope filter.
#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_separates_tenants() {
    access_matrix::disable_scope_filter();
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

/// Verifies that the two tests above can fail.
#[tokio::test(flavor = "multi_thread")]
async fn without_both_tenancy_layers_everything_is_visible() {
    access_matrix::disable_scope_filter();
    access_matrix::assert_leaks_without_tenancy_layers(&Scene::new().await).await;
}
