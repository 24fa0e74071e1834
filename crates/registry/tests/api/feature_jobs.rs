//! What provisioning reports of the jobs for features.

use domain::Kind;
use rpc::registry as r;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    feature::{Feature, billing, build, done, undone},
    stack::Stack,
    templates::{Answers, Templates},
    world::{World, text},
};

#[tokio::test]
async fn from_pending_to_active_to_deactivated() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let job = feature.activate(&world, "1.0.0").await;
    for _ in 0..2 {
        let begun = feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
        let expected = r::BeginFeatureJobResponse {
            stack_id: "default".to_owned(),
            owner_id: feature.platform.clone(),
            has_service: true,
            version: Some("1.0.0".to_owned()),
            ..Default::default()
        };
        assert_eq!(begun, expected);
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
    assert_eq!(feature.manifest(&world).await["features"], json!([]), "no one is led to it any more");
    let begun = feature.begin(&world, &removal, None).await.unwrap();
    assert_eq!((begun.version, begun.version_before.as_deref()), (None, Some("1.0.0")));
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
    let begun = feature.begin(&world, &again, Some("1.0.0")).await.unwrap();
    assert!(begun.has_data, "its data was kept");
}

#[tokio::test]
async fn a_failure_is_told_and_a_failed_upgrade_leaves_what_ran() {
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
    let late = feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap_err();
    assert_eq!(late.kind(), Kind::InvalidTransition);
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "failed");

    // The same version again is a new try.
    let job = feature.activate(&world, "1.0.0").await;
    assert_eq!(feature.get(&world).await["error"], Value::Null);
    feature.complete(&world, &job, "1.0.0").await;
    let upgrade = feature.activate(&world, "2.0.0").await;
    let begun = feature.begin(&world, &upgrade, Some("2.0.0")).await.unwrap();
    assert_eq!((begun.version.as_deref(), begun.version_before.as_deref()), (Some("2.0.0"), Some("1.0.0")));
    feature.end(&world, &upgrade, Some("2.0.0"), undone(begun.own_version_before.as_deref())).await.unwrap();
    let now = feature.get(&world).await;
    assert_eq!(
        (&now["status"], &now["featureVersion"], &now["error"]),
        (&json!("active"), &json!("1.0.0"), &json!("worker: no quota"))
    );
    assert_eq!(build(&world, &feature, &upgrade).await["buildStatus"], "failed");
}

#[tokio::test]
async fn an_upgrade_cancelled_before_it_began_may_be_reported_twice() {
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
async fn a_job_that_is_undone_after_its_end_takes_back_what_it_did() {
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
async fn a_late_report_of_an_old_job_changes_nothing_but_its_build() {
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
async fn a_job_that_provisioning_was_given_itself_is_taken_up() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let id = || Uuid::now_v7().to_string();
    let none = feature.begin(&world, &id(), None).await.unwrap_err();
    assert_eq!(none.kind(), Kind::NotFound);
    let job = id();
    feature.complete(&world, &job, "1.0.0").await;
    assert_eq!(feature.get(&world).await["status"], "active");
    assert_eq!(build(&world, &feature, &job).await["buildStatus"], "success");
    let asked = world.post(&feature.path("features/activate"), feature.body("1.0.0")).await.expect(202);
    assert_eq!(asked["provisionJobId"], job, "it is active already");
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
    let begun = two.begin(&world, &job, Some("1.0.0")).await.unwrap();
    assert_eq!((begun.version.as_deref(), begun.version_before.as_deref()), (Some("2.0.0"), Some("2.0.0")));
    assert_eq!((begun.own_version_before, begun.has_data, begun.shares_data), (None, true, true));
    two.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
    let removal = one.deactivate(&world).await;
    let begun = one.begin(&world, &removal, None).await.unwrap();
    assert_eq!((begun.version.as_deref(), begun.shares_data), (Some("1.0.0"), true));
    one.remove(&world, &removal, true).await;
    let removal = two.deactivate(&world).await;
    let begun = two.begin(&world, &removal, None).await.unwrap();
    assert_eq!((begun.version, begun.shares_data), (None, false), "the other gave its data up");
}

#[tokio::test]
async fn a_stack_s_definition_says_which_package_and_whether_there_is_a_service() {
    let templates = Templates::start(Answers::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let (tenant, bare) = (world.tenant(&platform, "t").await, world.tenant(&platform, "bare").await);
    let sub = world.subtenant(&platform, "s", &tenant).await;
    let stack = Stack::of(&world, &platform, &tenant, "main").await;
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
        let begun = feature.begin(&world, &job, Some("1.1.0")).await.unwrap();
        let (of, owner) = if in_stack { (stack.id.as_str(), &tenant) } else { ("default", &platform) };
        assert_eq!(begun.shared, if in_stack { vec![i32::from(r::ResourceType::D1)] } else { vec![] });
        assert_eq!(
            (begun.stack_id.as_str(), &begun.owner_id, begun.has_service),
            (of, owner, service),
            "{id}"
        );
        let url = service.then(|| format!("https://{id}.example"));
        let told = r::EndFeatureJobRequest { service_url: url.clone(), ..Default::default() };
        feature.end(&world, &job, Some("1.1.0"), told).await.unwrap();
        let shown = feature.manifest(&world).await;
        let shown =
            shown["features"].as_array().unwrap().iter().find(|shown| shown["id"] == id).unwrap().clone();
        let expected = json!({ "id": id, "version": "1.1.0", "package": package, "serviceUrl": url, "status": "active" });
        assert_eq!(shown, expected);
    }
}
