//! API keys over HTTP.

use std::time::Duration;

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::{GrantScope, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{KEYS, World, alone, body, count, grant, person, resolve, resolve_digest, text};

#[tokio::test]
async fn key_is_created_listed_resolved_and_revoked() {
    let world = World::start().await;
    let more = json!({ "name": "ci", "expiresInDays": 30 });
    let created = world.post(KEYS, body(Role::Developer, &world.of_tenant(), more)).await.expect(201);
    let (id, key) = (text(&created, "id").to_owned(), text(&created, "key").to_owned());
    assert_eq!(created["prefix"], format!("nno_{}", id.replace('-', "")));
    assert!(key.starts_with(&format!("{}_", text(&created, "prefix"))));
    let fields = (
        &created["name"],
        &created["role"],
        &created["platformId"],
        &created["entityId"],
        &created["createdBy"],
    );
    let expected =
        (&json!("ci"), &json!("developer"), &json!(world.own), &json!(world.tenant), &json!("operator"));
    assert_eq!(fields, expected);
    assert_eq!((&created["lastUsedAt"], &created["revokedAt"]), (&Value::Null, &Value::Null));

    let mut listed = created.clone();
    listed.as_object_mut().unwrap().remove("key");
    assert_eq!(world.get(KEYS).await.expect(200)["data"], json!([listed]));

    let resolved = resolve(&world, &key).await.unwrap();
    let granted = domain::Grant::try_from(resolved.grant.unwrap()).unwrap();
    assert_eq!((resolved.name.as_str(), granted), ("ci", grant(Role::Developer, &world.of_tenant())));
    let days = (resolved.expires_at.unwrap() - chrono_millis(&created, "createdAt")) / 86_400_000;
    assert!((29..=30).contains(&days), "{days}");

    assert_eq!(world.delete(&format!("{KEYS}/{id}")).await.expect(200), json!({ "success": true }));
    assert!(resolve(&world, &key).await.is_none());
    world.delete(&format!("{KEYS}/{id}")).await.expect_error(404, "NOT_FOUND");
    assert_eq!(world.get(KEYS).await.expect(200)["data"], json!([]));
    let with_revoked = world.get(&format!("{KEYS}?includeRevoked=true")).await.expect(200);
    assert!(with_revoked["data"][0]["revokedAt"].is_string());
}

fn chrono_millis(value: &Value, field: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text(value, field)).unwrap().timestamp_millis()
}

#[tokio::test]
async fn all_faults_of_a_body_are_reported() {
    let iam = alone().await;
    let details = iam
        .post(KEYS, json!({ "rolle": 1, "role": "king", "expiresInDays": 3651, "platformId": "x" }))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    let mut paths: Vec<&str> =
        details["fields"].as_array().unwrap().iter().map(|fault| text(fault, "path")).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths, ["expiresInDays", "name", "platformId", "role", "rolle"]);
    for wrong in [
        json!({ "name": "ci", "role": "viewer", "entityId": "entity0001" }),
        json!({ "name": "ci", "role": "operator", "platformId": "aaaaaaaaaa" }),
        json!({ "name": "ci", "role": "viewer", "expiresInDays": 0 }),
        json!({ "name": " ", "role": "viewer" }),
    ] {
        iam.post(KEYS, wrong).await.expect_error(400, "VALIDATION_ERROR");
    }
    iam.delete(&format!("{KEYS}/no-id")).await.expect_error(404, "NOT_FOUND");
    iam.get(&format!("{KEYS}?platformId=x")).await.expect_error(400, "VALIDATION_ERROR");
    assert_eq!(count(&iam, "keys").await, 0);
}

#[tokio::test]
async fn scope_of_a_key_must_exist() {
    let world = World::start().await;
    for (platform, entity) in [
        (json!("aaaaaaaaaa"), Value::Null),
        (json!(world.own), json!("entity0001")),
        (json!(world.own), json!(world.other_tenant)),
        (json!("aaaaaaaaaa"), json!(world.tenant)),
    ] {
        let mut body = json!({ "name": "ci", "role": "viewer", "platformId": platform });
        if !entity.is_null() {
            body["entityId"] = entity;
        }
        world.post(KEYS, body).await.expect_error(404, "NOT_FOUND");
    }
    let deleted = GrantScope::Entity(world.other.clone(), world.other_tenant.clone());
    world.registry.delete(&format!("/api/v1/platforms/{}", world.other)).await.expect(200);
    for scope in [deleted, GrantScope::Platform(world.other.clone())] {
        world
            .post(KEYS, body(Role::Viewer, &scope, json!({ "name": "ci" })))
            .await
            .expect_error(404, "NOT_FOUND");
    }
    world.registry.stop().await;
    let of_platform = body(Role::Viewer, &world.all_of_own(), json!({ "name": "ci" }));
    world.post(KEYS, of_platform).await.expect_error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(count(&world, "keys").await + count(&world, "audit_log").await, 0);
    // A key for all platforms does not depend on the registry.
    world.post(KEYS, body(Role::Viewer, &GrantScope::All, json!({ "name": "ci" }))).await.expect(201);
}

#[tokio::test]
async fn repetition_creates_no_second_key_and_returns_no_secret() {
    let world = World::start().await;
    let (new, once) =
        (body(Role::Viewer, &world.all_of_own(), json!({ "name": "ci" })), [("Idempotency-Key", "once")]);
    let first = world.send(Method::POST, KEYS, &new, &once).await.expect(201);
    // The stored response does not depend on the registry.
    world.registry.stop().await;
    let again = world.send(Method::POST, KEYS, &new, &once).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let again = again.expect(201);
    let mut expected = first.clone();
    expected["key"] = Value::Null;
    assert_eq!(again, expected);
    let other = body(Role::Viewer, &GrantScope::All, json!({ "name": "ci" }));
    world.send(Method::POST, KEYS, &other, &once).await.expect_error(422, "IDEMPOTENCY_MISMATCH");
    assert_eq!(count(&world, "keys").await, 1);
}

#[tokio::test]
async fn use_of_a_key_does_not_change_its_etag() {
    let world = World::start().await;
    let created = world.post(KEYS, json!({ "name": "ci", "role": "viewer" })).await;
    let tag = created.header("etag").unwrap().to_owned();
    let created = created.expect(201);
    let path = format!("{KEYS}/{}", text(&created, "id"));
    assert!(resolve(&world, text(&created, "key")).await.is_some());
    wait_until_used(&world, 1).await;
    let stale = [("If-Match", "\"stale\"")];
    world.send(Method::DELETE, &path, &Value::Null, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    world.send(Method::DELETE, &path, &Value::Null, &[("If-Match", &tag)]).await.expect(200);
}

/// Waits until the use of this number of keys is stored.
async fn wait_until_used(world: &World, keys: i64) {
    for _ in 0..200 {
        if count(world, "keys WHERE last_used_at IS NOT NULL").await == keys {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not used");
}

#[tokio::test]
async fn use_of_a_key_is_stored_at_most_once_a_minute() {
    let world = World::start().await;
    let key = text(&world.key(Role::Viewer, &GrantScope::All).await, "key").to_owned();
    resolve(&world, &key).await.unwrap();
    wait_until_used(&world, 1).await;
    let first = world.get(KEYS).await.expect(200)["data"][0]["lastUsedAt"].clone();
    resolve(&world, &key).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(world.get(KEYS).await.expect(200)["data"][0]["lastUsedAt"], first);
    let mut app = world.db.connect().await;
    sql_query("UPDATE keys SET last_used_at = last_used_at - interval '1 minute'")
        .execute(&mut app)
        .await
        .unwrap();
    resolve(&world, &key).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let later = world.get(KEYS).await.expect(200)["data"][0]["lastUsedAt"].clone();
    assert!(later.as_str() > first.as_str(), "{later} {first}");
}

#[tokio::test]
async fn only_a_valid_unexpired_key_is_resolved() {
    let world = World::start().await;
    let created = world.key(Role::Viewer, &world.all_of_own()).await;
    let (id, key) = (text(&created, "id"), text(&created, "key"));
    let digest = domain::ApiKey::parse(key).unwrap().secret_digest().to_vec();
    assert!(resolve_digest(&world, id, digest.clone()).await.is_some());
    let unknown = domain::ApiKey::generate();
    let mut near = digest.clone();
    near[31] ^= 1;
    for wrong in [near, vec![], vec![0; 32], digest[..31].to_vec(), unknown.secret_digest().to_vec()] {
        assert!(resolve_digest(&world, id, wrong).await.is_none());
    }
    for wrong in [digest.clone(), vec![0; 32], vec![]] {
        assert!(resolve_digest(&world, &unknown.id().to_string(), wrong).await.is_none());
    }
    let mut owner = world.db.connect_as_owner().await;
    sql_query("UPDATE keys SET expires_at = now() + interval '1 hour'").execute(&mut owner).await.unwrap();
    assert!(resolve(&world, key).await.is_some());
    sql_query("UPDATE keys SET expires_at = now()").execute(&mut owner).await.unwrap();
    assert!(resolve(&world, key).await.is_none());
    // An expired key can still be revoked.
    world.delete(&format!("{KEYS}/{id}")).await.expect(200);
}

#[tokio::test]
async fn list_has_pages_and_a_platform_filter() {
    let world = World::start().await;
    for scope in [
        GrantScope::All,
        world.all_of_own(),
        GrantScope::Platform(world.other.clone()),
        world.of_tenant(),
        GrantScope::Entity(world.own.clone(), world.child.clone()),
    ] {
        world.key(Role::Viewer, &scope).await;
    }
    let (mut path, mut seen) = (format!("{KEYS}?limit=2"), Vec::new());
    loop {
        let page = world.get(&path).await.expect(200);
        assert_eq!(page["pagination"]["total"], 5);
        seen.extend(page["data"].as_array().unwrap().iter().map(|key| text(key, "id").to_owned()));
        let Some(next) = page["pagination"]["nextCursor"].as_str() else { break };
        path = format!("{KEYS}?limit=2&cursor={next}");
    }
    assert_eq!(seen.len(), 5);
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(seen, sorted, "newest first");
    let of_own = world.get(&format!("{KEYS}?platformId={}", world.own)).await.expect(200);
    assert_eq!(of_own["pagination"]["total"], 3);
    let cursor = world.get(&format!("{KEYS}?limit=1")).await.expect(200)["pagination"]["nextCursor"].clone();
    let foreign = format!("{KEYS}?platformId={}&cursor={}", world.own, cursor.as_str().unwrap());
    world.get(&foreign).await.expect_error(400, "INVALID_CURSOR");
}

#[tokio::test]
async fn callers_see_and_revoke_the_keys_that_they_administer() {
    let world = World::start().await;
    let of_child = GrantScope::Entity(world.own.clone(), world.child.clone());
    let of_sibling = GrantScope::Entity(world.own.clone(), world.sibling.clone());
    let other = GrantScope::Platform(world.other.clone());
    let mut ids = Vec::new();
    for (role, scope) in [
        (Role::Operator, &GrantScope::All),
        (Role::Viewer, &GrantScope::All),
        (Role::PlatformAdmin, &world.all_of_own()),
        (Role::Viewer, &world.of_tenant()),
        (Role::PlatformAdmin, &of_child),
        (Role::Viewer, &of_sibling),
        (Role::Viewer, &other),
    ] {
        ids.push(text(&world.key(role, scope).await, "id").to_owned());
    }
    let admin = |scope: &GrantScope| person(vec![grant(Role::PlatformAdmin, scope)]);
    for (caller, sees) in [
        (person(vec![grant(Role::Operator, &GrantScope::All)]), vec![0, 1, 2, 3, 4, 5, 6]),
        (admin(&GrantScope::All), vec![1, 2, 3, 4, 5, 6]),
        (admin(&world.all_of_own()), vec![2, 3, 4, 5]),
        (admin(&world.of_tenant()), vec![3, 4]),
        (admin(&of_child), vec![4]),
        (person(vec![grant(Role::Developer, &GrantScope::All)]), vec![]),
        (person(vec![grant(Role::Viewer, &world.all_of_own()), grant(Role::PlatformAdmin, &other)]), vec![6]),
    ] {
        let list = world.send_as(&caller, Method::GET, KEYS, &Value::Null).await.expect(200);
        let mut expected: Vec<&str> = sees.iter().map(|n: &usize| ids[*n].as_str()).collect();
        expected.reverse();
        let seen: Vec<&str> = list["data"].as_array().unwrap().iter().map(|key| text(key, "id")).collect();
        assert_eq!(seen, expected, "{:?}", caller.grants());
        assert_eq!(list["pagination"]["total"], expected.len());
        for (n, id) in ids.iter().enumerate() {
            let dry_run = format!("{KEYS}/{id}?dryRun=true");
            let answer = world.send_as(&caller, Method::DELETE, &dry_run, &Value::Null).await;
            if sees.contains(&n) {
                answer.expect(200);
            } else {
                answer.expect_error(404, "NOT_FOUND");
            }
        }
    }
    assert_eq!(count(&world, "keys WHERE revoked_at IS NOT NULL").await, 0);
}
