//! Reports of provisioning about feature jobs.

use domain::Kind;
use rpc::registry as r;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    feature::{Feature, billing, build, done, undone},
    stack::Stack,
    templates::{Behavior, Templates},
    world::{World, text},
};

#[tokio::test]
async fn feature_goes_from_pending_to_active_to_deactivated() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let job = feature.activate(&world, "1.0.0").await;
    for _ in 0..2 {
        let input = feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
        let expected = r::BeginFeatureJobResponse {
            stack_id: "default".to_owned(),
            owner_id: feature.platform.clone(),
            has_service: true,
            version: Some("1.0.0".to_owned()),
            ..Default::default()
        };
        assert_eq!(input, expected);
        assert_eq!(feature.get(&world).await["status"], "provisioning");
    }
    for _ in 0..2 {
        feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], now["activatedAt"].is_string()), (&json!("active"), true));
    }
    let ended = build(&world, &feature, &job).await;
    assert_eq!((&ended["buildStatus"], &ended["cfDeploymentId"]), (&json!("success"), &json!("d-1")));

    let removal = feature.deactivate(&world).await;
    assert_eq!(feature.manifest(&world).await["features"], json!([]), "the manifest no longer contains it");
    let input = feature.begin(&world, &removal, None).await.unwrap();
    assert_eq!((input.version, input.version_before.as_deref()), (None, Some("1.0.0")));
    for _ in 0..2 {
        feature.remove(&world, &removal, false).await;
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], now["deactivatedAt"].is_string()), (&json!("deactivated"), true));
    }
    assert_eq!(build(&world, &feature, &removal).await["buildStatus"], "success");
    let actions =
        world.get(&format!("/api/v1/platforms/{}/audit?entity=feature", feature.platform)).await.expect(200);
    let actions: Vec<_> =
        actions["data"].as_array().unwrap().iter().rev().map(|entry| text(entry, "action")).collect();
    let expected = ["requested", "provisioning", "activated", "deactivating", "deactivated"];
    assert_eq!(actions, expected.map(|verb| format!("feature.{verb}")), "each once");

    let again = feature.activate(&world, "1.0.0").await;
    let input = feature.begin(&world, &again, Some("1.0.0")).await.unwrap();
    assert!(input.has_data, "the data was not deleted");
}

#[tokio::test]
async fn failed_upgrade_keeps_the_running_version() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let job = feature.activate(&world, "1.0.0").await;
    feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
    for _ in 0..2 {
        feature.end(&world, &job, Some("1.0.0"), undone(None)).await.unwrap();
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], &now["error"]), (&json!("failed"), &json!("worker: no quota")));
    }
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "failed");
    let error = feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidTransition);
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "failed");

    // Requesting the same version again starts a new attempt.
    let job = feature.activate(&world, "1.0.0").await;
    assert_eq!(feature.get(&world).await["error"], Value::Null);
    feature.complete(&world, &job, "1.0.0").await;
    let upgrade = feature.activate(&world, "2.0.0").await;
    let input = feature.begin(&world, &upgrade, Some("2.0.0")).await.unwrap();
    assert_eq!((input.version.as_deref(), input.version_before.as_deref()), (Some("2.0.0"), Some("1.0.0")));
    feature.end(&world, &upgrade, Some("2.0.0"), undone(input.own_version_before.as_deref())).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!(
        (&now["status"], &now["featureVersion"], &now["error"]),
        (&json!("active"), &json!("1.0.0"), &json!("worker: no quota"))
    );
    assert_eq!(build(&world, &feature, &upgrade).await["buildStatus"], "failed");
}

#[tokio::test]
async fn cancelled_upgrade_can_be_reported_twice() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let job = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &job, "1.0.0").await;
    let upgrade = feature.activate(&world, "2.0.0").await;
    for _ in 0..2 {
        feature.end(&world, &upgrade, Some("2.0.0"), undone(None)).await.unwrap();
        let now = feature.get(&world).await;
        assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!("1.0.0")));
        assert_eq!(feature.manifest(&world).await["features"][0]["version"], "1.0.0");
    }
}

#[tokio::test]
async fn job_undone_after_its_end_is_reverted() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let first = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &first, "1.0.0").await;
    let upgrade = feature.activate(&world, "2.0.0").await;
    feature.complete(&world, &upgrade, "2.0.0").await;
    feature.end(&world, &upgrade, Some("2.0.0"), undone(Some("1.0.0"))).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!("1.0.0")));
    assert_eq!(feature.manifest(&world).await["features"][0]["version"], "1.0.0");

    let third = feature.activate(&world, "3.0.0").await;
    feature.complete(&world, &third, "3.0.0").await;
    feature.end(&world, &third, Some("3.0.0"), undone(None)).await.unwrap();
    assert_eq!(feature.get(&world).await["status"], "failed");
    assert_eq!(feature.manifest(&world).await["features"], json!([]));

    let job = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &job, "1.0.0").await;
    let removal = feature.deactivate(&world).await;
    feature.remove(&world, &removal, false).await;
    feature.end(&world, &removal, None, undone(Some("1.0.0"))).await.unwrap();
    assert_eq!(feature.get(&world).await["status"], "active");
    assert_eq!(feature.manifest(&world).await["features"][0]["version"], "1.0.0");
}

#[tokio::test]
async fn late_report_of_an_old_job_changes_only_its_build() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let old = feature.activate(&world, "1.0.0").await;
    feature.begin(&world, &old, Some("1.0.0")).await.unwrap();
    let new = feature.activate(&world, "2.0.0").await;
    assert!(feature.begin(&world, &old, Some("1.0.0")).await.unwrap().superseded);
    feature.end(&world, &old, Some("1.0.0"), done("old")).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!((&now["status"], &now["featureVersion"]), (&json!("pending"), &json!("2.0.0")));
    assert_eq!(build(&world, &feature, &old).await["buildStatus"], "success");
    feature.complete(&world, &new, "2.0.0").await;
    feature.end(&world, &old, Some("1.0.0"), undone(None)).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!((&now["status"], &now["featureVersion"]), (&json!("active"), &json!("2.0.0")));
    assert_eq!(feature.manifest(&world).await["features"][0]["serviceUrl"], "https://billing.example");
}

#[tokio::test]
async fn job_sent_to_provisioning_directly_is_adopted() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let id = || Uuid::now_v7().to_string();
    let none = feature.begin(&world, &id(), None).await.unwrap_err();
    assert_eq!(none.kind(), Kind::NotFound);
    let job = id();
    feature.complete(&world, &job, "1.0.0").await;
    assert_eq!(feature.get(&world).await["status"], "active");
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "success");
    let response = world.post(&feature.path("features/activate"), feature.body("1.0.0")).await.expect(202);
    assert_eq!(response["provisionJobId"], job, "it is active already");
    feature.remove(&world, &id(), false).await;
    assert_eq!(feature.get(&world).await["status"], "deactivated");
    let refused = feature.begin(&world, &id(), None).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidTransition);
    let elsewhere = Feature { entity: "aaaaaaaaaa".to_owned(), ..feature.clone() };
    let refused = elsewhere.begin(&world, &id(), Some("1.0.0")).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
    elsewhere.end(&world, &id(), Some("1.0.0"), undone(None)).await.unwrap();
}

#[tokio::test]
async fn entities_of_a_stack_share_a_service_and_its_data() {
    let world = World::start().await;
    let one = billing(&world).await;
    let two = Feature { entity: world.tenant(&one.platform, "u").await, ..one.clone() };
    let job = one.activate(&world, "2.0.0").await;
    one.complete(&world, &job, "2.0.0").await;
    let job = two.activate(&world, "1.0.0").await;
    let input = two.begin(&world, &job, Some("1.0.0")).await.unwrap();
    assert_eq!((input.version.as_deref(), input.version_before.as_deref()), (Some("2.0.0"), Some("2.0.0")));
    assert_eq!((input.own_version_before, input.has_data, input.shares_data), (None, true, true));
    two.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
    let removal = one.deactivate(&world).await;
    let input = one.begin(&world, &removal, None).await.unwrap();
    assert_eq!((input.version.as_deref(), input.shares_data), (Some("1.0.0"), true));
    one.remove(&world, &removal, true).await;
    let removal = two.deactivate(&world).await;
    let input = two.begin(&world, &removal, None).await.unwrap();
    assert_eq!((input.version, input.shares_data), (None, false), "the other entity deleted its data");
}

#[tokio::test]
async fn stack_definition_determines_package_and_service() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let (tenant, bare) = (world.tenant(&platform, "t").await, world.tenant(&platform, "bare").await);
    let sub = world.subtenant(&platform, "s", &tenant).await;
    let stack = Stack::create(&world, &platform, &tenant, "main").await;
    stack.complete(&world).await;
    for (entity, id, in_stack, package, service) in [
        (&tenant, "cart", true, "@shop/cart", true),
        (&sub, "cart", true, "@shop/cart", true),
        (&tenant, "theme", true, "@shop/theme", false),
        (&tenant, "other", false, "@neutrino-io/feature-other", true),
        (&bare, "cart", false, "@neutrino-io/feature-cart", true),
    ] {
        let feature = Feature::new(&platform, entity, id, "prod");
        let job = feature.activate(&world, "1.1.0").await;
        let input = feature.begin(&world, &job, Some("1.1.0")).await.unwrap();
        let (of, owner) = if in_stack { (stack.id.as_str(), &tenant) } else { ("default", &platform) };
        assert_eq!(input.shared, if in_stack { vec![i32::from(r::ResourceType::D1)] } else { vec![] });
        assert_eq!(
            (input.stack_id.as_str(), &input.owner_id, input.has_service),
            (of, owner, service),
            "{id}"
        );
        let url = service.then(|| format!("https://{id}.example"));
        let report = r::EndFeatureJobRequest { service_url: url.clone(), ..Default::default() };
        feature.end(&world, &job, Some("1.1.0"), report).await.unwrap();
        let shown = feature.manifest(&world).await;
        let shown =
            shown["features"].as_array().unwrap().iter().find(|shown| shown["id"] == id).unwrap().clone();
        let expected = json!({ "id": id, "version": "1.1.0", "package": package, "serviceUrl": url, "status": "active" });
        assert_eq!(shown, expected);
    }
}
