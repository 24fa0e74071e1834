//! Builds over HTTP. Services start and finish them over gRPC.

use domain::{Kind, resource::Environment};
use reqwest::Method;
use rpc::registry::{BuildStatus, BuildTrigger, FinishBuildRequest, StartBuildRequest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, ids, text},
};

/// Test cases of the build operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let list = "/platforms/{platformId}/builds";
    let failed = json!({ "buildStatus": "failed" });
    vec![
        Operation::get(list, "/platforms/{p}/builds"),
        Operation::get(&format!("{list}/latest"), "/platforms/{p}/builds/latest"),
        Operation::patch(&format!("{list}/{{buildId}}"), "/platforms/{p}/builds/{build}", failed),
    ]
}

impl World {
    /// Returns the id of a new build.
    pub(crate) async fn build(&self, platform: &str, environment: &str) -> String {
        let id = Uuid::now_v7();
        let request = StartBuildRequest {
            build_id: id.to_string(),
            platform_id: platform.to_owned(),
            environment: rpc::enum_number(Environment::parse(environment).unwrap()),
            triggered_by: BuildTrigger::Manual.into(),
            repo_name: Some("repo".to_owned()),
            last_commit_sha: None,
        };
        self.call("onboarding", None, request, async |mut c, r| c.start_build(r).await).await.unwrap();
        id.to_string()
    }
}

#[tokio::test]
async fn latest_build_is_the_newest_of_its_environment() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let mut created = Vec::new();
    for environment in ["prod", "prod", "stg"] {
        created.push(world.build(&platform, environment).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    world.build(&other, "prod").await;
    let path = format!("/api/v1/platforms/{platform}/builds");
    let list = world.get(&path).await.expect(200);
    assert_eq!(list.as_object().unwrap().len(), 1);
    assert_eq!(ids(&list), [created[2].clone(), created[1].clone(), created[0].clone()]);
    for (query, expected) in [("", &created[1]), ("?env=prod", &created[1]), ("?env=stg", &created[2])] {
        assert_eq!(
            text(&world.get(&format!("{path}/latest{query}")).await.expect(200), "id"),
            *expected,
            "{query}"
        );
    }
    let latest = world.get(&format!("{path}/latest")).await;
    assert!(latest.header("etag").is_some());
    let latest = latest.expect(200);
    assert_eq!((&latest["buildStatus"], &latest["triggeredBy"]), (&json!("building"), &json!("manual")));
    assert_eq!((&latest["repoName"], &latest["completedAt"]), (&json!("repo"), &Value::Null));
    assert!(text(&latest, "triggeredAt").ends_with('Z'));
    assert_eq!(latest.as_object().unwrap().len(), 12, "{latest}");
    world.get(&format!("{path}/latest?env=dev")).await.expect_error(404, "NOT_FOUND");
    assert_eq!(faults(world.get(&format!("{path}/latest?env=test")).await), ["env"]);
}

#[tokio::test]
async fn build_patch_accepts_milliseconds_and_returns_rfc_3339() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let path = format!("/api/v1/platforms/{platform}/builds/{}", world.build(&platform, "prod").await);
    let changes = json!({
        "buildStatus": "success", "lastCommitSha": "abc", "cfDeploymentId": "d", "buildUrl": "https://ci.example/1",
        "triggeredBy": "push", "triggeredAt": 1_700_000_000_000_i64, "completedAt": 1_700_000_000_123_i64, "repoName": "r",
    });
    let after = world.patch(&path, changes).await.expect(200);
    assert_eq!(after["triggeredAt"], "2023-11-14T22:13:20.000Z");
    assert_eq!(after["completedAt"], "2023-11-14T22:13:20.123Z");
    let expected = [
        ("buildStatus", "success"),
        ("lastCommitSha", "abc"),
        ("triggeredBy", "push"),
        ("buildUrl", "https://ci.example/1"),
    ];
    for (name, value) in expected {
        assert_eq!(after[name], value, "{name}");
    }
    let cleared = world.patch(&path, json!({ "completedAt": null, "buildUrl": null })).await.expect(200);
    assert_eq!(
        (&cleared["completedAt"], &cleared["buildUrl"], &cleared["repoName"]),
        (&Value::Null, &Value::Null, &json!("r"))
    );
}

#[tokio::test]
async fn invalid_build_changes_are_rejected() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let id = world.build(&platform, "prod").await;
    let path = format!("/api/v1/platforms/{platform}/builds/{id}");
    world.patch(&path, json!({ "triggeredAt": 2000, "completedAt": 2000 })).await.expect(200);
    for body in [
        json!({ "completedAt": 1999 }),
        json!({ "triggeredAt": 2001 }),
        json!({ "triggeredAt": 9, "completedAt": 8 }),
    ] {
        assert_eq!(faults(world.patch(&path, body.clone()).await), ["completedAt"], "{body}");
    }
    for (field, value) in [
        ("triggeredAt", json!("2023-11-14T22:13:20.000Z")),
        ("triggeredAt", json!(-1)),
        ("completedAt", json!(253_402_300_800_000_i64)),
        ("completedAt", json!(1.5)),
        ("buildStatus", json!("done")),
        ("triggeredBy", json!("cron")),
        ("buildUrl", json!("x")),
        ("environment", json!("prod")),
    ] {
        assert_eq!(faults(world.patch(&path, json!({ field: value })).await), [field], "{field}");
    }
    let read = world.get(&format!("/api/v1/platforms/{platform}/builds")).await.expect(200);
    let etag = identity::etag::of(&read["data"][0]).unwrap();
    let stale =
        world.send(Method::PATCH, &path, &json!({ "repoName": "x" }), &[("If-Match", "\"stale\"")]).await;
    assert_ne!(stale.expect_error(412, "PRECONDITION_FAILED")["etag"], "\"stale\"");
    assert!(etag.starts_with('"'));
    let foreign = format!("/api/v1/platforms/{other}/builds/{id}");
    world.patch(&foreign, json!({ "repoName": "x" })).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn services_start_and_finish_builds() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let id = world.build(&platform, "prod").await;
    let start = StartBuildRequest {
        build_id: id.clone(),
        platform_id: platform.clone(),
        environment: rpc::enum_number(Environment::Stg),
        triggered_by: BuildTrigger::Push.into(),
        ..StartBuildRequest::default()
    };
    // A repeated start changes nothing, and the build of another platform is not found.
    world.call("onboarding", None, start.clone(), async |mut c, r| c.start_build(r).await).await.unwrap();
    let foreign = StartBuildRequest { platform_id: other.clone(), ..start };
    let refused =
        world.call("onboarding", None, foreign, async |mut c, r| c.start_build(r).await).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    let finish = |platform: &str, status: BuildStatus| FinishBuildRequest {
        platform_id: platform.to_owned(),
        build_id: id.clone(),
        status: status.into(),
        cf_deployment_id: Some("d".to_owned()),
    };
    let send = async |request| {
        world.call("onboarding", None, request, async |mut c, r| c.finish_build(r).await).await
    };
    assert_eq!(send(finish(&other, BuildStatus::Success)).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(send(finish(&platform, BuildStatus::Building)).await.unwrap_err().kind(), Kind::Validation);
    send(finish(&platform, BuildStatus::Success)).await.unwrap();
    let first = world.get(&format!("/api/v1/platforms/{platform}/builds/latest")).await.expect(200);
    assert_eq!(
        (&first["buildStatus"], &first["environment"], &first["cfDeploymentId"]),
        (&json!("success"), &json!("prod"), &json!("d"))
    );
    assert!(first["completedAt"].is_string());
    let writes = world.writes().await;
    send(finish(&platform, BuildStatus::Success)).await.unwrap();
    assert_eq!(world.writes().await, writes);
}
