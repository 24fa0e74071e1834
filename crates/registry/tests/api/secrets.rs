//! Status of secrets.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, text},
};

/// Test cases of the secret operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let list = "/platforms/{platformId}/resources/{resourceId}/secrets";
    let secret = json!({ "status": "set" });
    vec![
        Operation::get(list, "/platforms/{p}/resources/{r}/secrets"),
        Operation::post(&format!("{list}/{{secretName}}"), "/platforms/{p}/resources/{r}/secrets/A", secret),
    ]
}

#[tokio::test]
async fn marking_creates_and_updates_secrets() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let resource = world.resource(&platform, &platform, "x").await;
    let secrets = format!("/api/v1/platforms/{platform}/resources/{resource}/secrets");
    let mark = async |name: &str, status: &str| {
        world.post(&format!("{secrets}/{name}"), json!({ "status": status })).await
    };
    let first = mark("AUTH_SECRET", "missing").await.expect(201);
    assert_eq!((&first["resourceId"], &first["secretName"]), (&json!(resource), &json!("AUTH_SECRET")));
    assert_eq!((&first["status"], &first["lastSetAt"]), (&json!("missing"), &Value::Null));
    assert_eq!(first.as_object().unwrap().len(), 7, "{first}");
    let set = mark("AUTH_SECRET", "set").await.expect(200);
    assert_eq!((&set["id"], &set["lastSetAt"]), (&first["id"], &set["updatedAt"]));
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let failed = mark("AUTH_SECRET", "error").await.expect(200);
    assert_eq!((&failed["status"], &failed["lastSetAt"]), (&json!("error"), &set["lastSetAt"]));
    let rotated = mark("AUTH_SECRET", "rotated").await.expect(200);
    assert!(text(&rotated, "lastSetAt") > text(&set, "lastSetAt"));
    assert!(mark("OTHER", "set").await.expect(201)["lastSetAt"].is_string());

    let list = world.get(&secrets).await.expect(200);
    assert_eq!(list.as_object().unwrap().len(), 1);
    let names: Vec<String> =
        list["data"].as_array().unwrap().iter().map(|one| text(one, "secretName")).collect();
    assert_eq!(names, ["OTHER", "AUTH_SECRET"]);
}

#[tokio::test]
async fn invalid_secret_marks_are_rejected() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let resource = world.resource(&platform, &platform, "x").await;
    let path = format!("/api/v1/platforms/{platform}/resources/{resource}/secrets");
    for (body, field) in [
        (json!({}), "status"),
        (json!({ "status": "leaked" }), "status"),
        (json!({ "status": "set", "value": "hunter2" }), "value"),
    ] {
        let answer = world.post(&format!("{path}/A"), body).await;
        assert!(!answer.body.to_string().contains("hunter2"));
        assert_eq!(faults(answer), [field]);
    }
    for name in ["1A", "A-B", &"a".repeat(129)] {
        assert_eq!(
            faults(world.post(&format!("{path}/{name}"), json!({ "status": "set" })).await),
            ["secretName"]
        );
    }
    let foreign = format!("/api/v1/platforms/{other}/resources/{resource}/secrets");
    world.get(&foreign).await.expect_error(404, "NOT_FOUND");
    world.post(&format!("{foreign}/A"), json!({ "status": "set" })).await.expect_error(404, "NOT_FOUND");
    world.delete(&format!("/api/v1/platforms/{platform}/resources/{resource}")).await.expect(200);
    world.get(&path).await.expect_error(404, "NOT_FOUND");
    world.post(&format!("{path}/A"), json!({ "status": "set" })).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.number("SELECT count(*) FROM secrets").await, 0);
}

#[tokio::test]
async fn concurrent_marks_create_one_secret() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let resource = world.resource(&platform, &platform, "x").await;
    let path = format!("/api/v1/platforms/{platform}/resources/{resource}/secrets/A");
    let answers = join_all((0..12).map(|_| world.post(&path, json!({ "status": "set" })))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 11);
}

#[tokio::test]
async fn repeated_first_mark_is_201_again() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let resource = world.resource(&platform, &platform, "x").await;
    let path = format!("/api/v1/platforms/{platform}/resources/{resource}/secrets/A");
    let send = || world.post_with(&path, json!({ "status": "set" }), &[("Idempotency-Key", "k")]);
    let (first, again) = (send().await, send().await);
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    again.expect(201);
}
