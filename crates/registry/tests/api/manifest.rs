//! Manifests of entities.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::Response;

use crate::{
    feature::Feature,
    operation::{Cases, Operation},
    world::{World, text},
};

/// Test cases of the manifest operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let manifest = "/platforms/{platformId}/entities/{entityId}/manifest";
    vec![Operation::get(manifest, "/platforms/{p}/entities/{e}/manifest")]
}

struct Shell {
    world: World,
    platform: String,
    entity: String,
}

impl Shell {
    async fn start() -> Self {
        let world = World::start().await;
        let platform = world.platform("a").await;
        let entity = world.tenant(&platform, "t").await;
        Self { world, platform, entity }
    }

    fn feature(&self, id: &str, environment: &str) -> Feature {
        Feature::new(&self.platform, &self.entity, id, environment)
    }

    async fn run(&self, id: &str, environment: &str, version: &str) {
        let feature = self.feature(id, environment);
        let job = feature.activate(&self.world, version).await;
        feature.complete(&self.world, &job, version).await;
    }

    async fn load(&self, query: &str, seen: Option<&str>) -> Response {
        let path = format!("/api/v1/platforms/{}/entities/{}/manifest{query}", self.platform, self.entity);
        let headers: Vec<_> = seen.iter().map(|seen| ("If-None-Match", *seen)).collect();
        self.world.send(Method::GET, &path, &Value::Null, &headers).await
    }

    async fn tag(&self, query: &str) -> String {
        self.load(query, None).await.header("etag").unwrap().to_owned()
    }
}

#[tokio::test]
async fn manifest_contains_the_running_features_of_one_environment() {
    let shell = Shell::start().await;
    let empty = shell.load("", None).await;
    assert_eq!(empty.header("cache-control"), Some("private, no-cache"));
    let empty = empty.expect(200);
    let expected = json!({ "platformId": shell.platform, "entityId": shell.entity, "environment": "prod", "features": [],
        "generatedAt": empty["generatedAt"] });
    assert_eq!(empty, expected);
    for (id, environment) in [("zoo", "prod"), ("billing", "prod"), ("billing", "stg")] {
        shell.run(id, environment, "1.0.0").await;
    }
    shell.feature("late", "prod").activate(&shell.world, "1.0.0").await;
    let shown = |id: &str| {
        json!({ "id": id, "version": "1.0.0", "package": format!("@neutrino-io/feature-{id}"),
            "serviceUrl": format!("https://{id}.example"), "status": "active" })
    };
    for (query, environment, features) in [
        ("", "prod", json!([shown("billing"), shown("zoo")])),
        ("?env=prod", "prod", json!([shown("billing"), shown("zoo")])),
        ("?env=stg", "stg", json!([shown("billing")])),
        ("?env=dev", "dev", json!([])),
    ] {
        let manifest = shell.load(query, None).await.expect(200);
        assert_eq!((&manifest["environment"], &manifest["features"]), (&json!(environment), &features));
        assert!(text(&manifest, "generatedAt").ends_with('Z'));
    }
    let bad = shell.load("?env=moon", None).await.expect_error(400, "VALIDATION_ERROR");
    assert_eq!(bad["fields"][0]["path"], "env");
}

#[tokio::test]
async fn manifest_etag_changes_with_its_content() {
    let shell = Shell::start().await;
    let mut tags = vec![shell.tag("").await];
    let (billing, world) = (shell.feature("billing", "prod"), &shell.world);
    let mut body = shell.load("", None).await.expect(200);
    // A known tag gets a response without a body. The next change renews the tag and the content.
    let mut changed = async |shown: Value| {
        let last = tags.last().unwrap().clone();
        let now = shell.load("", Some(&last)).await;
        let tag = now.header("etag").unwrap().to_owned();
        assert!(!tags.contains(&tag), "{tag}");
        body = now.expect(200);
        assert_eq!(
            body["features"].as_array().unwrap().iter().map(|one| one["version"].clone()).collect::<Value>(),
            shown
        );
        for seen in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let same = shell.load("", Some(&seen)).await;
            assert_eq!(same.status, 304, "{seen}");
            assert_eq!(same.header("etag"), Some(tag.as_str()));
            assert_eq!((same.header("cache-control"), &same.body), (Some("private, no-cache"), &Value::Null));
        }
        assert_eq!(shell.load("", None).await.expect(200), body, "equal tags mean equal content");
        tags.push(tag);
    };
    shell.run("billing", "prod", "1.0.0").await;
    changed(json!(["1.0.0"])).await;
    // The manifest shows the running version until the upgrade completes.
    let upgrade = billing.activate(world, "2.0.0").await;
    changed(json!(["1.0.0"])).await;
    billing.complete(world, &upgrade, "2.0.0").await;
    changed(json!(["2.0.0"])).await;
    billing.deactivate(world).await;
    changed(json!([])).await;

    let (before, stg) = (shell.tag("").await, shell.tag("?env=stg").await);
    shell.run("billing", "stg", "1.0.0").await;
    assert_eq!(shell.tag("").await, before, "the other environment has a different tag");
    assert_ne!(shell.tag("?env=stg").await, stg);
}

#[tokio::test]
async fn manifest_requires_access_to_the_entity() {
    let shell = Shell::start().await;
    shell.run("billing", "prod", "1.0.0").await;
    let (world, other) = (&shell.world, shell.world.platform("b").await);
    let stranger = world.tenant(&other, "t").await;
    let at =
        |platform: &str, entity: &str| format!("/api/v1/platforms/{platform}/entities/{entity}/manifest");
    for (platform, entity) in
        [(&other, &shell.entity), (&shell.platform, &stranger), (&other, &shell.platform)]
    {
        world.get(&at(platform, entity)).await.expect_error(404, "NOT_FOUND");
    }
    let own = at(&shell.platform, &shell.entity);
    for (scope, status) in [(&shell.platform, 200), (&other, 404)] {
        let answer = world.send_as(&json!({ "platform": scope }), Method::GET, &own, &Value::Null).await;
        assert_eq!(answer.status, status);
    }
    let bare = world.tenant(&shell.platform, "bare").await;
    world.delete(&format!("/api/v1/platforms/{}/entities/{bare}", shell.platform)).await.expect(200);
    world.get(&at(&shell.platform, &bare)).await.expect_error(404, "NOT_FOUND");
    world.delete(&format!("/api/v1/platforms/{}", shell.platform)).await.expect(200);
    world.get(&own).await.expect_error(404, "NOT_FOUND");
}
