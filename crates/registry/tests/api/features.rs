//! Requests for features of an entity.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    feature::{Feature, billing, build, done, undone},
    operation::{Cases, Operation},
    world::{World, faults, ids, text},
};

/// Test cases of the feature operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let list = "/platforms/{platformId}/entities/{entityId}/features";
    let on = json!({ "featureId": "off", "version": "1.0.0", "environment": "prod" });
    let off = json!({ "featureId": "on", "environment": "prod" });
    vec![
        Operation::get(list, "/platforms/{p}/entities/{e}/features"),
        Operation::get(&format!("{list}/{{featureId}}"), "/platforms/{p}/entities/{e}/features/on"),
        Operation::get(
            &format!("{list}/{{featureId}}/explain"),
            "/platforms/{p}/entities/{w}/features/slow/explain",
        ),
        Operation::post(&format!("{list}/activate"), "/platforms/{p}/entities/{e}/features/activate", on),
        Operation::post(
            &format!("{list}/deactivate"),
            "/platforms/{p}/entities/{e}/features/deactivate",
            off,
        ),
    ]
}

#[tokio::test]
async fn activation_is_recorded_while_provisioning_is_down() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let answer = world.post(&feature.path("features/activate"), feature.body("1.2.0")).await.expect(202);
    let (id, job) = (text(&answer, "activationId"), text(&answer, "provisionJobId"));
    let expected = json!({ "activationId": id, "featureId": "billing", "status": "pending", "provisionJobId": job,
        "estimatedDurationSeconds": null });
    assert_eq!(answer, expected);
    assert_eq!(Uuid::parse_str(&job).unwrap().get_version_num(), 7);

    let read = feature.get(&world).await;
    let fields = json!({ "id": id, "platformId": feature.platform, "entityId": feature.entity,
        "featureId": "billing", "featureVersion": "1.2.0", "environment": "prod", "status": "pending", "error": null,
        "activatedAt": null, "deactivatedAt": null, "createdAt": read["createdAt"], "updatedAt": read["updatedAt"] });
    assert_eq!(read, fields);
    let by_id = world.get(&feature.path(&format!("features/{id}"))).await;
    assert!(by_id.header("etag").is_some());
    assert_eq!(by_id.expect(200), read);
    let list = world.get(&feature.path("features")).await.expect(200);
    assert_eq!((&list["data"], &list["pagination"]["total"]), (&json!([read]), &json!(1)));

    let started = build(&world, &feature, &job).await;
    assert_eq!(
        (&started["buildStatus"], &started["triggeredBy"], &started["environment"]),
        (&json!("building"), &json!("feature_activation"), &json!("prod"))
    );
    let sent = format!(
        "SELECT count(*) FROM outbox WHERE destination = 'provisioning' AND id = '{job}' AND type = 'provisioning.job' \
         AND data = '{}'::jsonb",
        json!({ "type": "ACTIVATE_FEATURE", "platformId": feature.platform, "input": {
            "entityId": feature.entity, "featureId": "billing", "featureVersion": "1.2.0", "environment": "prod" } })
    );
    assert_eq!(world.number(&sent).await, 1);
    let audit =
        world.get(&format!("/api/v1/platforms/{}/audit?entity={id}", feature.platform)).await.expect(200);
    assert_eq!(audit["data"][0]["action"], "feature.requested");
    assert_eq!(audit["data"][0]["after"]["featureVersion"], "1.2.0");
}

#[tokio::test]
async fn repeated_activation_is_the_same_and_another_version_upgrades() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let activate = async |version: &str| {
        world.post(&feature.path("features/activate"), feature.body(version)).await.expect(202)
    };
    let first = activate("1.0.0").await;
    let writes = world.writes().await;
    assert_eq!(activate("1.0.0").await, first);
    assert_eq!(world.writes().await, writes, "nothing was written");
    feature.complete(&world, &text(&first, "provisionJobId"), "1.0.0").await;
    let again = activate("1.0.0").await;
    assert_eq!((&again["status"], &again["provisionJobId"]), (&json!("active"), &first["provisionJobId"]));
    assert_eq!(again["estimatedDurationSeconds"], Value::Null, "there is nothing to wait for");

    let upgrade = activate("2.0.0").await;
    assert_eq!((&upgrade["activationId"], &upgrade["status"]), (&first["activationId"], &json!("pending")));
    assert_ne!(upgrade["provisionJobId"], first["provisionJobId"]);
    assert_eq!(upgrade["estimatedDurationSeconds"], 1, "the median is rounded up to a second");
    assert_eq!(activate("2.0.0").await, upgrade);
    let other = Feature { environment: "stg".to_owned(), ..feature.clone() };
    other.activate(&world, "1.0.0").await;
    assert_eq!(world.number("SELECT count(*) FROM feature_activations").await, 2);
    let list = world.get(&feature.path("features?limit=1")).await.expect(200);
    assert_eq!((&list["data"][0]["environment"], &list["pagination"]["total"]), (&json!("stg"), &json!(2)));
    let cursor = text(&list["pagination"], "nextCursor");
    let rest = world.get(&feature.path(&format!("features?limit=1&cursor={cursor}"))).await.expect(200);
    assert_eq!(ids(&rest), [text(&first, "activationId")]);
}

#[tokio::test]
async fn sixty_four_concurrent_activations_get_the_same_answer() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let (path, body) = (feature.path("features/activate"), feature.body("1.0.0"));
    let answers = join_all((0..64).map(|_| world.post(&path, body.clone()))).await;
    let first = answers[0].body.clone();
    for answer in answers {
        assert_eq!(answer.expect(202), first);
    }
    for (table, rows) in
        [("feature_activations", 1), ("builds", 1), ("outbox WHERE destination IS NOT NULL", 1)]
    {
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, rows, "{table}");
    }
    let list = world.get(&feature.path("features")).await.expect(200);
    assert_eq!(list["pagination"]["total"], 1);
}

#[tokio::test]
async fn inactive_feature_is_not_deactivated() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let body = json!({ "featureId": "billing", "environment": "prod" });
    let path = feature.path("features/deactivate");
    world.post(&path, body.clone()).await.expect_error(404, "NOT_FOUND");
    let job = feature.activate(&world, "1.0.0").await;
    for status in ["pending", "provisioning"] {
        let details = world.post(&path, body.clone()).await.expect_error(409, "INVALID_TRANSITION");
        assert_eq!((&details["from"], &details["event"]), (&json!(status), &json!("deactivate")));
        feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
    }
    feature.end(&world, &job, Some("1.0.0"), undone(None)).await.unwrap();
    let details = world.post(&path, body.clone()).await.expect_error(409, "INVALID_TRANSITION");
    assert_eq!((&details["from"], &details["allowed"]), (&json!("failed"), &json!(["activate"])));
    let job = feature.activate(&world, "1.0.0").await;
    feature.complete(&world, &job, "1.0.0").await;
    feature.deactivate(&world).await;
    world.post(&path, body).await.expect_error(409, "INVALID_TRANSITION");
}

#[tokio::test]
async fn invalid_activations_are_rejected() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let (other, path) = (world.platform("b").await, feature.path("features/activate"));
    let mut paths =
        faults(world.post(&path, json!({ "featureId": "Not A Slug", "version": "1", "x": 1 })).await);
    paths.sort();
    paths.dedup();
    assert_eq!(paths, ["environment", "featureId", "version", "x"]);
    for id in ["-a", "a-", &"x".repeat(42)] {
        let long = Feature { id: id.to_owned(), ..feature.clone() };
        assert_eq!(faults(world.post(&path, long.body("1.0.0")).await), ["featureId"], "{id}");
    }
    assert_eq!(faults(world.get(&feature.path("features/billing?env=moon")).await), ["env"]);
    let elsewhere = Feature { platform: other, ..feature.clone() };
    for feature in [elsewhere, Feature { entity: "aaaaaaaaaa".to_owned(), ..feature.clone() }] {
        world
            .post(&feature.path("features/activate"), feature.body("1.0.0"))
            .await
            .expect_error(404, "NOT_FOUND");
        for path in ["features", "features/billing", "manifest"] {
            world.get(&feature.path(path)).await.expect_error(404, "NOT_FOUND");
        }
    }
    world.get(&feature.path("features/billing")).await.expect_error(404, "NOT_FOUND");
    world.get(&feature.path(&format!("features/{}", Uuid::now_v7()))).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM feature_activations").await, 0);
}

#[tokio::test]
async fn activation_supports_dry_run_and_if_match() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let path = feature.path("features/activate");
    let dry = world.post(&format!("{path}?dryRun=true"), feature.body("1.0.0")).await;
    assert_eq!((dry.header("dry-run"), &dry.body["status"]), (Some("true"), &json!("pending")));
    for table in ["feature_activations", "manifests", "builds", "outbox WHERE destination IS NOT NULL"] {
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    let job = feature.activate(&world, "1.0.0").await;
    let read = world.get(&feature.path("features/billing")).await;
    let seen = read.header("etag").unwrap().to_owned();
    feature.complete(&world, &job, "1.0.0").await;
    let stale = [("If-Match", seen.as_str())];
    let upgrade = feature.body("2.0.0");
    world.send(Method::POST, &path, &upgrade, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    let body = json!({ "featureId": "billing", "environment": "prod" });
    let path = feature.path("features/deactivate");
    world.send(Method::POST, &path, &body, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(feature.get(&world).await["status"], "active");
}

#[tokio::test]
async fn entity_with_features_is_not_deleted() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let path = format!("/api/v1/platforms/{}/entities/{}", feature.platform, feature.entity);
    let job = feature.activate(&world, "1.0.0").await;
    let refused = async || {
        let details = world.delete(&path).await.expect_error(409, "HAS_DEPENDENTS");
        assert_eq!(
            details["dependents"],
            json!({ "entities": 0, "stacks": 0, "resources": 0, "features": 1 })
        );
    };
    refused().await;
    feature.begin(&world, &job, Some("1.0.0")).await.unwrap();
    refused().await;
    feature.end(&world, &job, Some("1.0.0"), done("billing")).await.unwrap();
    refused().await;
    let removal = feature.deactivate(&world).await;
    refused().await;
    feature.remove(&world, &removal, false).await;
    world.delete(&path).await.expect(200);
}
