//! Create, read, update and delete platforms.

use serde_json::{Value, json};

use crate::{
    operation::{Cases, Operation},
    world::{World, faults, ids, text},
};

/// Test cases of the platform operations.
pub(crate) const CASES: Cases = Cases { created: Vec::new, operations };

fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/platforms", "/platforms"),
        Operation::get("/platforms/{platformId}", "/platforms/{p}"),
        Operation::get("/platforms/{platformId}/lifecycle", "/platforms/{p}/lifecycle"),
        Operation::get("/platforms/{platformId}/explain", "/platforms/{p}/explain"),
        Operation::post("/platforms", "/platforms", json!({ "name": "N", "slug": "n" })).for_operators(),
        Operation::patch("/platforms/{platformId}", "/platforms/{p}", json!({ "name": "M" })),
        Operation::post("/platforms/{platformId}/suspend", "/platforms/{p}/suspend", json!({})),
        Operation::post("/platforms/{platformId}/restore", "/platforms/{p}/restore", json!({})),
        Operation::post("/platforms/{platformId}/cancel", "/platforms/{p}/cancel", json!({})),
        Operation::post("/platforms/{platformId}/delete", "/platforms/{p}/delete", json!({})),
        Operation::delete("/platforms/{platformId}", "/platforms/{q}").for_operators(),
    ]
}

#[tokio::test]
async fn platform_is_created_and_read() {
    let world = World::start().await;
    let body = json!({ "name": "Größe 1", "slug": "shop", "tier": "growth", "cfAccountId": "cf", "repoName": "repo" });
    let created = world.post("/api/v1/platforms", body).await;
    let etag = created.header("etag").unwrap().to_owned();
    let created = created.expect(201);
    let id = text(&created, "id");
    assert!(id.len() == 10 && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{id}");
    let fields = [
        ("name", json!("Größe 1")),
        ("slug", json!("shop")),
        ("tier", json!("growth")),
        ("status", json!("active")),
        ("cfAccountId", json!("cf")),
        ("repoName", json!("repo")),
        ("ownerUserId", Value::Null),
        ("deletedAt", Value::Null),
    ];
    for (name, value) in fields {
        assert_eq!(created[name], value, "{name}");
    }
    assert!(created.get("periodEndsAt").is_none());
    let read = world.get(&format!("/api/v1/platforms/{id}")).await;
    assert_eq!(read.header("etag"), Some(etag.as_str()));
    assert_eq!(read.header("cache-control"), Some("no-store"));
    assert_eq!(read.expect(200), created);

    let plain = world.post("/api/v1/platforms", json!({ "name": "A", "slug": "a" })).await.expect(201);
    assert_eq!(plain["tier"], "starter");
}

#[tokio::test]
async fn platform_slug_is_unique_until_deletion() {
    let world = World::start().await;
    let first = world.platform("shop").await;
    let again = json!({ "name": "B", "slug": "shop" });
    let details = world.post("/api/v1/platforms", again.clone()).await.expect_error(409, "ALREADY_EXISTS");
    assert_eq!(details["slug"], "shop");
    world.delete(&format!("/api/v1/platforms/{first}")).await.expect(200);
    world.post("/api/v1/platforms", again).await.expect(201);
}

#[tokio::test]
async fn all_faults_are_reported_at_once() {
    let world = World::start().await;
    let wrong = json!({ "slug": "Not A Slug", "tier": "gold", "color": "red", "repoName": 1 });
    let mut paths = faults(world.post("/api/v1/platforms", wrong).await);
    paths.sort();
    assert_eq!(paths, ["color", "name", "repoName", "slug", "tier"]);
    for (body, path) in [
        (json!({ "name": " ", "slug": "a" }), "name"),
        (json!({ "name": "A", "slug": "" }), "slug"),
        (json!({ "name": "A", "slug": "a".repeat(65) }), "slug"),
        (json!({ "name": "A", "slug": "a", "repoName": "a\u{0}" }), "repoName"),
        (json!({ "name": "A".repeat(257), "slug": "a" }), "name"),
    ] {
        // One value may break several rules.
        let paths = faults(world.post("/api/v1/platforms", body.clone()).await);
        assert!(!paths.is_empty() && paths.iter().all(|one| one == path), "{body} {paths:?}");
    }
    let not_json = world.request(reqwest::Method::POST, "/api/v1/platforms").body("{").send().await.unwrap();
    assert_eq!(not_json.status(), 400);
    assert_eq!(world.writes().await, 0);
}

#[tokio::test]
async fn platform_patch_changes_only_the_named_fields() {
    let world = World::start().await;
    let id = world.platform("shop").await;
    let path = format!("/api/v1/platforms/{id}");
    let before = world.get(&path).await.expect(200);
    let after =
        world.patch(&path, json!({ "name": "New", "tier": "scale", "repoName": "r" })).await.expect(200);
    assert_eq!(
        (&after["name"], &after["tier"], &after["repoName"]),
        (&json!("New"), &json!("scale"), &json!("r"))
    );
    assert_eq!((&after["slug"], &after["createdAt"]), (&before["slug"], &before["createdAt"]));
    assert!(text(&after, "updatedAt") >= text(&before, "updatedAt"));
    let cleared = world.patch(&path, json!({ "repoName": null })).await.expect(200);
    assert_eq!((&cleared["repoName"], &cleared["name"]), (&Value::Null, &json!("New")));
    world.patch(&path, Value::Null).await.expect(200);
    for body in [json!({ "status": "pending" }), json!({ "slug": "other" }), json!({ "name": "" })] {
        world.patch(&path, body).await.expect_error(400, "VALIDATION_ERROR");
    }
    world.patch("/api/v1/platforms/aaaaaaaaaa", json!({})).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn deleted_platform_is_visible_only_to_operators_on_request() {
    let world = World::start().await;
    let id = world.platform("shop").await;
    let tenant = world.tenant(&id, "acme").await;
    let path = format!("/api/v1/platforms/{id}");
    assert_eq!(world.delete(&path).await.expect(200), json!({ "success": true }));
    for under in
        ["", "/lifecycle", "/entities", "/resources", "/stacks", "/builds", "/builds/latest", "/audit"]
    {
        world.get(&format!("{path}{under}")).await.expect_error(404, "NOT_FOUND");
    }
    for under in [
        format!("entities/{tenant}"),
        format!("entities/{tenant}/resources"),
        "stacks/default/dns".to_owned(),
    ] {
        world.get(&format!("{path}/{under}")).await.expect_error(404, "NOT_FOUND");
    }
    world.delete(&path).await.expect_error(404, "NOT_FOUND");
    let body = json!({ "name": "B", "slug": "b", "type": "tenant" });
    world.post(&format!("{path}/entities"), body).await.expect_error(404, "NOT_FOUND");
    let list = world.get("/api/v1/platforms").await.expect(200);
    assert_eq!((ids(&list), &list["pagination"]["total"]), (vec![], &json!(0)));

    let shown = world.get(&format!("{path}?includeDeleted=true")).await.expect(200);
    assert_eq!(shown["status"], "deleted");
    assert!(shown["deletedAt"].is_string());
    let own = json!({ "platform": id });
    let response =
        world.send_as(&own, reqwest::Method::GET, &format!("{path}?includeDeleted=true"), &Value::Null).await;
    response.expect_error(404, "NOT_FOUND");
    world.get(&format!("{path}?includeDeleted=maybe")).await.expect_error(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn platform_callers_see_only_their_platform() {
    let world = World::start().await;
    let (own, other) = (world.platform("own").await, world.platform("other").await);
    let scope = json!({ "platform": own });
    let get = |path: String| {
        let (world, scope) = (&world, &scope);
        async move { world.send_as(scope, reqwest::Method::GET, &path, &Value::Null).await }
    };
    get(format!("/api/v1/platforms/{own}")).await.expect(200);
    get(format!("/api/v1/platforms/{other}")).await.expect_error(404, "NOT_FOUND");
    let list = get("/api/v1/platforms".to_owned()).await.expect(200);
    assert_eq!((ids(&list), &list["pagination"]["total"]), (vec![own.clone()], &json!(1)));
    let body = json!({ "name": "A", "slug": "a" });
    world
        .send_as(&scope, reqwest::Method::POST, "/api/v1/platforms", &body)
        .await
        .expect_error(403, "FORBIDDEN");
}

#[tokio::test]
async fn only_operators_write_to_a_suspended_platform() {
    let world = World::start().await;
    let id = world.platform("shop").await;
    world.post(&format!("/api/v1/platforms/{id}/suspend"), json!({})).await.expect(200);
    let (scope, path) = (json!({ "platform": id }), format!("/api/v1/platforms/{id}/entities"));
    let body = json!({ "name": "A", "slug": "a", "type": "tenant" });
    let refused = world.send_as(&scope, reqwest::Method::POST, &path, &body).await;
    refused.expect_error(403, "PLATFORM_SUSPENDED");
    world.send_as(&scope, reqwest::Method::GET, &path, &Value::Null).await.expect(200);
    world.post(&path, body).await.expect(201);
    let own = format!("/api/v1/platforms/{id}");
    for (method, path, body) in [
        (reqwest::Method::PATCH, own.clone(), json!({ "name": "New" })),
        (reqwest::Method::PATCH, own.clone(), json!({ "status": "active" })),
        (reqwest::Method::POST, format!("{own}/restore"), json!({})),
        (reqwest::Method::POST, format!("{own}/cancel"), json!({})),
        (reqwest::Method::POST, format!("{own}/delete"), json!({})),
    ] {
        world.send_as(&scope, method, &path, &body).await.expect_error(403, "PLATFORM_SUSPENDED");
    }
    world.post(&format!("{own}/restore"), json!({})).await.expect(200);
    world.send_as(&scope, reqwest::Method::PATCH, &own, &json!({ "name": "New" })).await.expect(200);
}
