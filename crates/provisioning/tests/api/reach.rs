//! Every operation × every role × how far it reaches, with both walls and with the second alone: see [`testkit::reach`].
//!
//! Jobs are operators' alone, whatever platform they are of. None of these goes on: nobody answers for the registry.

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
    reach::{self, Asked, Case, Places, Someone, Stage},
};

const PROVISION: &str = "/api/v1/provision";

struct Scene {
    provisioning: TestService,
    places: Places,
    /// Jobs, each in another state.
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
        let places = Places::unknown();
        let mut scene = Self { provisioning, places, parts: Vec::new(), _folder: folder };
        for part in ["{live}", "{paused}", "{stuck}", "{ended}"] {
            let path = format!("{PROVISION}/platform");
            let queued = scene.provisioning.post(&path, scene.platform()).await.expect(202);
            scene.parts.push((part, queued["jobId"].as_str().unwrap().to_owned()));
        }
        let pause = scene.fill(&format!("{PROVISION}/jobs/{{paused}}/pause"));
        scene.provisioning.post(&pause, json!({})).await.expect(200);
        // Whoever works on it still finds that it is no longer theirs.
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

    /// What asks for a platform's infrastructure.
    fn platform(&self) -> Value {
        json!({ "platformId": self.places.own, "planTier": "starter", "billingEmail": "pay@acme.example" })
    }
}

impl Stage for Scene {
    type Service = Provisioning;

    fn service(&self) -> &TestService {
        &self.provisioning
    }

    fn parts(&self) -> &[(&'static str, String)] {
        &self.parts
    }

    fn cases(&self) -> Vec<Case> {
        let (platform, entity) = (&self.places.own, &self.places.entity);
        let feature = json!({
            "platformId": platform, "entityId": entity, "featureId": "blog", "featureVersion": "1.0.0",
            "environment": "prod",
        });
        let stack = json!({ "platformId": platform, "stackId": "default" });
        let asked = [
            ("platform", self.platform()),
            ("platform/deprovision", json!({ "platformId": platform })),
            ("feature/activate", feature.clone()),
            ("feature/deactivate", feature),
            ("stack/activate", stack.clone()),
            ("stack/deactivate", stack),
        ];
        let queue = |(path, body)| Case::plain(Method::POST, &format!("{PROVISION}/{path}"), body);
        let mut cases: Vec<Case> = asked.into_iter().map(queue).collect();
        cases.push(Case::plain(Method::GET, &format!("{PROVISION}/jobs"), Value::Null));
        // The events of one that goes on have no end.
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

    fn everyone(&self) -> Vec<Someone> {
        self.places.everyone(ActorType::Apikey)
    }

    fn verdict(&self, asked: &Asked<'_>) -> AccessDecision {
        asked.row.decide(asked.someone.caller.grants(), &Target::Everything)
    }

    fn hidden(&self, someone: &Someone) -> Vec<String> {
        let jobs = self.parts.iter().map(|(_, id)| id.clone()).chain(["acme.example".to_owned()]);
        if someone.reaches_all() { Vec::new() } else { jobs.collect() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_as_everyone() {
    reach::as_everyone(&Scene::new().await).await.assert_none();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stranger_gets_in() {
    reach::let_no_stranger_in(&Scene::new().await).await;
}

/// What the first wall leaves to the second is not left to it alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_wall_alone_keeps_everyone_apart() {
    let scene = Scene::new().await;
    reach::take_second_wall_down(&scene).await;
    reach::as_everyone(&scene).await.assert_none();
}

/// What the second wall leaves to the first is not left to it alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_wall_alone_keeps_everyone_apart() {
    reach::disable_scope_filter();
    reach::as_everyone(&Scene::new().await).await.assert_none();
}

/// The tests of each wall can fail.
#[tokio::test(flavor = "multi_thread")]
async fn with_both_walls_down_everyone_sees_everything() {
    reach::disable_scope_filter();
    reach::with_both_walls_down(&Scene::new().await).await;
}
