//! Register, look up, update and delete resources, under both path prefixes.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, ids, resource_body, text},
};

/// Test cases of the resource operations, under both path prefixes.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    let under = |prefix: &str, name: &str, deleted: &str| {
        let at = |path: &str| format!("{prefix}{path}");
        let one = at("/platforms/{platformId}/resources/{resourceId}");
        let of_entity = at("/platforms/{platformId}/entities/{entityId}/resources");
        let entity = at("/platforms/{p}/entities/{e}/resources");
        let r = at("/platforms/{p}/resources/{r}");
        [
            Operation::get(&at("/lookup"), &at("/lookup?cfName=r")),
            Operation::get(&at("/platforms/{platformId}/resources"), &at("/platforms/{p}/resources")),
            Operation::get(&of_entity, &entity),
            Operation::get(&one, &r),
            Operation::post(&of_entity, &entity, resource_body(name)),
            Operation::patch(&one, &r, json!({ "cfId": name })),
            Operation::delete(&one, &at(&format!("/platforms/{{p}}/resources/{deleted}"))),
        ]
    };
    under("", "n1", "{d1}").into_iter().chain(under("/resources", "n2", "{d2}")).collect()
}

const PREFIXES: [&str; 2] = ["/api/v1", "/api/v1/resources"];

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test]
async fn resource_is_registered_and_read_under_both_prefixes() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let stack = world.stack(&platform, &tenant, "main").await;
    for (n, prefix) in PREFIXES.iter().enumerate() {
        let body = json!({
            "stackId": stack, "resourceType": "d1", "serviceName": "auth", "environment": "stg", "cfName": format!("db-{n}"),
            "cfId": "id", "cfUrl": "https://db.example/x", "provisionJobId": "job", "config": { "a": [1, null] },
        });
        let path = format!("{prefix}/platforms/{platform}/entities/{tenant}/resources");
        let created = world.post(&path, body.clone()).await.expect(201);
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(created[name], *value, "{name}");
        }
        assert_eq!(
            (&created["status"], &created["entityId"], &created["deletedAt"]),
            (&json!("pending"), &json!(tenant), &Value::Null)
        );
        for prefix in PREFIXES {
            let read =
                world.get(&format!("{prefix}/platforms/{platform}/resources/{}", text(&created, "id"))).await;
            assert!(read.header("etag").is_some());
            assert_eq!(read.expect(200), created);
            assert_eq!(world.get(&format!("{prefix}/lookup?cfName=db-{n}")).await.expect(200), created);
        }
    }
}

#[tokio::test]
async fn invalid_resources_are_rejected() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let tenant = world.tenant(&platform, "t").await;
    let stranger = world.tenant(&other, "t").await;
    let strange_stack = world.stack(&other, &stranger, "main").await;
    let path = |entity: &str| format!("/api/v1/platforms/{platform}/entities/{entity}/resources");
    let mut paths = faults(
        world.post(&path(&tenant), json!({ "resourceType": "vm", "environment": "test", "x": 1 })).await,
    );
    paths.sort();
    assert_eq!(paths, ["cfName", "environment", "resourceType", "serviceName", "stackId", "x"]);
    for (field, value) in [
        ("stackId", json!(strange_stack)),
        ("stackId", json!("aaaaaaaaaa")),
        ("stackId", json!("other")),
        ("cfUrl", json!("not a url")),
        ("cfUrl", json!("ftp://a.example")),
        ("cfUrl", json!("https://\u{cf}")),
        ("config", json!([1])),
        ("config", json!("{}")),
        ("cfId", json!(1)),
    ] {
        let answer = world.post(&path(&tenant), with(resource_body("x"), field, value.clone())).await;
        assert_eq!(faults(answer), [field], "{field} {value}");
    }
    let empty = faults(world.post(&path(&tenant), resource_body("")).await);
    assert!(!empty.is_empty() && empty.iter().all(|path| path == "cfName"), "{empty:?}");
    let nul = with(resource_body("x"), "config", json!({ "a": ["\u{0}"] }));
    assert_eq!(faults(world.post(&path(&tenant), nul).await), ["config.a.0"]);
    for entity in ["aaaaaaaaaa", &stranger, "NO"] {
        world.post(&path(entity), resource_body("x")).await.expect_error(404, "NOT_FOUND");
        world.get(&path(entity)).await.expect_error(404, "NOT_FOUND");
    }
    assert_eq!(world.number("SELECT count(*) FROM resources").await, 0);
}

#[tokio::test]
async fn resource_name_is_unique_until_deletion() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let id = world.resource(&platform, &platform, "x").await;
    let elsewhere = format!("/api/v1/platforms/{other}/entities/{other}/resources");
    let details = world.post(&elsewhere, resource_body("x")).await.expect_error(409, "ALREADY_EXISTS");
    assert_eq!(details["cfName"], "x");
    world.delete(&format!("/api/v1/platforms/{platform}/resources/{id}")).await.expect(200);
    let answers = join_all((0..8).map(|_| world.post(&elsewhere, resource_body("x")))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 7);
}

#[tokio::test]
async fn resources_are_listed_by_platform_and_entity() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    let tenant = world.tenant(&platform, "t").await;
    let mut created = Vec::new();
    for (n, entity) in [&tenant, &platform, &tenant].into_iter().enumerate() {
        created.push(world.resource(&platform, entity, &format!("x{n}")).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    world.resource(&other, &other, "y").await;
    for prefix in PREFIXES {
        let list = async |under: &str| {
            let page = world.get(&format!("{prefix}/platforms/{platform}/{under}")).await.expect(200);
            (ids(&page), page["pagination"]["total"].as_i64().unwrap())
        };
        assert_eq!(
            list("resources").await,
            (vec![created[2].clone(), created[1].clone(), created[0].clone()], 3)
        );
        let of_tenant = format!("entities/{tenant}/resources");
        assert_eq!(list(&of_tenant).await, (vec![created[2].clone(), created[0].clone()], 2));
        assert_eq!(list(&format!("{of_tenant}?limit=1")).await, (vec![created[2].clone()], 2));
        assert_eq!(list(&format!("entities/{platform}/resources")).await, (vec![created[1].clone()], 1));
    }
    world.delete(&format!("/api/v1/platforms/{platform}/resources/{}", created[0])).await.expect(200);
    let page =
        world.get(&format!("/api/v1/platforms/{platform}/entities/{tenant}/resources")).await.expect(200);
    assert_eq!((ids(&page), &page["pagination"]["total"]), (vec![created[2].clone()], &json!(1)));
}

#[tokio::test]
async fn lookup_is_limited_to_the_callers_scope() {
    let world = World::start().await;
    let (platform, other) = (world.platform("a").await, world.platform("b").await);
    world.resource(&platform, &platform, "x").await;
    for prefix in PREFIXES {
        for query in ["", "?cfName=", "?other=x"] {
            assert_eq!(faults(world.get(&format!("{prefix}/lookup{query}")).await), ["cfName"], "{query}");
        }
        let path = format!("{prefix}/lookup?cfName=x");
        world.get(&path).await.expect(200);
        let as_owner =
            world.send_as(&json!({ "platform": platform }), Method::GET, &path, &Value::Null).await;
        as_owner.expect(200);
        let as_other = world.send_as(&json!({ "platform": other }), Method::GET, &path, &Value::Null).await;
        as_other.expect_error(404, "NOT_FOUND");
        world.get(&format!("{prefix}/lookup?cfName=nothing")).await.expect_error(404, "NOT_FOUND");
    }
    world.delete(&format!("/api/v1/platforms/{platform}")).await.expect(200);
    world.get("/api/v1/lookup?cfName=x").await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn resource_patch_changes_only_the_named_fields() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let id = world.resource(&platform, &platform, "x").await;
    for prefix in PREFIXES {
        let path = format!("{prefix}/platforms/{platform}/resources/{id}");
        let changes = json!({
            "status": "active", "cfId": "id", "cfUrl": "http://a.example", "config": { "k": 1 }, "provisionJobId": "job",
        });
        let after = world.patch(&path, changes.clone()).await.expect(200);
        for (name, value) in changes.as_object().unwrap() {
            assert_eq!(after[name], *value, "{name}");
        }
        let cleared = json!({ "cfId": null, "cfUrl": null, "config": null, "provisionJobId": null });
        let after = world.patch(&path, cleared.clone()).await.expect(200);
        for name in cleared.as_object().unwrap().keys() {
            assert_eq!(after[name], Value::Null, "{name}");
        }
        assert_eq!((&after["status"], &after["cfName"]), (&json!("active"), &json!("x")));
        for (field, value) in
            [("cfUrl", json!("x")), ("config", json!(1)), ("cfName", json!("y")), ("status", json!("gone"))]
        {
            assert_eq!(faults(world.patch(&path, json!({ field: value })).await), [field]);
        }
    }
}

#[tokio::test]
async fn deleted_status_is_final() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    for (n, by_patch) in [false, true].into_iter().enumerate() {
        let path = format!(
            "/api/v1/platforms/{platform}/resources/{}",
            world.resource(&platform, &platform, &format!("x{n}")).await
        );
        let seen = world.get(&path).await.header("etag").unwrap().to_owned();
        world.patch(&path, json!({ "status": "active" })).await.expect(200);
        let stale = world.send(Method::DELETE, &path, &Value::Null, &[("If-Match", &seen)]).await;
        stale.expect_error(412, "PRECONDITION_FAILED");
        if by_patch {
            let after = world.patch(&path, json!({ "status": "deleted" })).await.expect(200);
            assert!(after["status"] == "deleted" && after["deletedAt"].is_string());
        } else {
            assert_eq!(world.delete(&path).await.expect(200), json!({ "success": true }));
        }
        world.get(&path).await.expect_error(404, "NOT_FOUND");
        world.delete(&path).await.expect_error(404, "NOT_FOUND");
        world.patch(&path, json!({ "status": "active" })).await.expect_error(404, "NOT_FOUND");
    }
    let page = world.get(&format!("/api/v1/platforms/{platform}/resources")).await.expect(200);
    assert_eq!(page["pagination"]["total"], 0);
    for id in ["01890000-0000-7000-8000-000000000000", "x"] {
        world
            .get(&format!("/api/v1/platforms/{platform}/resources/{id}"))
            .await
            .expect_error(404, "NOT_FOUND");
    }
}
