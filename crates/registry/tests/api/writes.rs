//! Properties of every write, tested with platforms: idempotency, dry runs, preconditions, records.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Response;

use crate::world::{World, faults, resource_body, text};

const PLATFORMS: &str = "/api/v1/platforms";

#[tokio::test]
async fn repeated_write_gets_the_first_answer() {
    let world = World::start().await;
    let (body, key) = (json!({ "name": "A", "slug": "a" }), [("Idempotency-Key", "k-1")]);
    let first = world.post_with(PLATFORMS, body.clone(), &key).await;
    assert_eq!(first.header("idempotent-replayed"), None);
    let writes = world.writes().await;
    for _ in 0..2 {
        let again = world.post_with(PLATFORMS, body.clone(), &key).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.header("etag"), first.header("etag"));
        assert_eq!((again.status, &again.body), (first.status, &first.body));
    }
    assert_eq!(world.writes().await, writes);
    let other = world.post_with(PLATFORMS, json!({ "name": "A", "slug": "b" }), &key).await;
    other.expect_error(422, "IDEMPOTENCY_MISMATCH");
    let path = format!("{PLATFORMS}/{}/suspend", text(&first.body, "id"));
    world.post_with(&path, json!({}), &key).await.expect_error(422, "IDEMPOTENCY_MISMATCH");
    // A failure is not stored: the key can be used again.
    let taken = [("Idempotency-Key", "k-2")];
    world
        .post_with(PLATFORMS, json!({ "name": "A", "slug": "a" }), &taken)
        .await
        .expect_error(409, "ALREADY_EXISTS");
    world.post_with(PLATFORMS, json!({ "name": "A", "slug": "c" }), &taken).await.expect(201);
    for bad in ["", &"x".repeat(256)] {
        let answer = world
            .post_with(PLATFORMS, json!({ "name": "A", "slug": "d" }), &[("Idempotency-Key", bad)])
            .await;
        answer.expect_error(400, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn concurrent_repetitions_create_one_object() {
    let world = World::start().await;
    let body = json!({ "name": "A", "slug": "a" });
    let answers =
        join_all((0..12).map(|_| world.post_with(PLATFORMS, body.clone(), &[("Idempotency-Key", "k")])))
            .await;
    let mut created = Vec::new();
    for answer in answers {
        if answer.status == 201 {
            created.push(answer.body);
        } else {
            answer.expect_error(409, "CONFLICT");
        }
    }
    assert!(!created.is_empty() && created.iter().all(|one| *one == created[0]), "{created:?}");
    let list = world.get(PLATFORMS).await.expect(200);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["pagination"]["total"]), (1, &json!(1)));
}

#[tokio::test]
async fn one_of_many_distinct_requests_gets_the_slug() {
    let world = World::start().await;
    let answers =
        join_all((0..12).map(|n| world.post(PLATFORMS, json!({ "name": format!("{n}"), "slug": "a" }))))
            .await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((created, answers.iter().filter(|answer| answer.status == 409).count()), (1, 11));
}

#[tokio::test]
async fn dry_run_never_replays_a_real_answer() {
    let world = World::start().await;
    let body = json!({ "name": "Acme", "slug": "acme" });
    let key = [("Idempotency-Key", "one")];
    let created = world.send(Method::POST, PLATFORMS, &body, &key).await.expect(201);
    let path = format!("{PLATFORMS}?dryRun=true");
    world.send(Method::POST, &path, &body, &key).await.expect_error(409, "ALREADY_EXISTS");
    let suspend = format!("{PLATFORMS}/{}/suspend", text(&created, "id"));
    for _ in 0..2 {
        let tried = world.send(Method::POST, &format!("{suspend}?dryRun=true"), &json!({}), &key).await;
        assert_eq!((tried.header("dry-run"), tried.header("idempotent-replayed")), (Some("true"), None));
        tried.expect(200);
    }
    // The key of a dry run is still free for the real write.
    let other = [("Idempotency-Key", "two")];
    world.send(Method::POST, &format!("{suspend}?dryRun=true"), &json!({}), &other).await.expect(200);
    let done = world.send(Method::POST, &suspend, &json!({}), &other).await;
    assert_eq!((done.header("dry-run"), done.header("idempotent-replayed")), (None, None));
    assert_eq!(done.expect(200)["status"], "suspended");
}

#[tokio::test]
async fn misspelled_dry_run_writes_nothing() {
    let world = World::start().await;
    for (n, query) in
        ["dryrun=true", "dry_run=true", "dryRun[]=true", "DryRun=true", "x=1;dryRun=true"].iter().enumerate()
    {
        let body = json!({ "name": "Acme", "slug": format!("acme-{n}") });
        world.post(&format!("{PLATFORMS}?{query}"), body).await.expect_error(400, "VALIDATION_ERROR");
    }
    assert_eq!(world.get(PLATFORMS).await.expect(200)["pagination"]["total"], 0);
}

#[tokio::test]
async fn error_size_is_proportional_to_its_request() {
    let world = World::start().await;
    let mut body = json!({ "name": "Acme", "slug": "acme" });
    for n in 0..20_000 {
        body[format!("field{n}")] = json!(1);
    }
    let answer = world.post(PLATFORMS, body).await;
    assert!(answer.text.len() < 20_000, "{}", answer.text.len());
    let details = answer.expect_error(400, "VALIDATION_ERROR");
    assert_eq!((details["fields"].as_array().unwrap().len(), &details["moreFields"]), (100, &json!(19_900)));
    let long = world.post(PLATFORMS, json!({ "x".repeat(500_000): 1, "name": "Acme", "slug": "acme" })).await;
    assert!(long.text.len() < 2_000, "{}", long.text.len());
}

#[tokio::test]
async fn json_that_cannot_be_stored_exactly_is_rejected_at_its_path() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let tenant = world.tenant(&platform, "t").await;
    let path = format!("/api/v1/platforms/{platform}/entities/{tenant}/resources");
    let register = async |config: &str| {
        let body = resource_body("w").to_string();
        let body = body.replacen('{', &format!("{{\"config\":{config},"), 1);
        let request =
            world.request(Method::POST, &path).header("content-type", "application/json").body(body);
        Response::read(request.send().await.unwrap()).await
    };
    for (config, at) in [
        (r#"{"a":{"b":1,"b":2}}"#, "config.a.b"),
        (r#"{"n":[12345678901234567890123]}"#, "config.n.0"),
        (r#"{"t":"\u0000"}"#, "config.t"),
        (r#"{"\u0000":1}"#, "config"),
    ] {
        assert_eq!(faults(register(config).await), [at], "{config}");
    }
    let created = register(r#"{"n":18446744073709551615,"d":0.1}"#).await.expect(201);
    assert_eq!(created["config"], json!({ "n": u64::MAX, "d": 0.1 }));
}

#[tokio::test]
async fn null_for_an_optional_field_of_a_create_equals_absence() {
    let world = World::start().await;
    let body = json!({ "name": "Acme", "slug": "acme", "tier": null, "cfAccountId": null, "repoName": null });
    let platform = text(&world.post(PLATFORMS, body).await.expect(201), "id");
    let tenant = world.tenant(&platform, "t").await;
    let stack =
        json!({ "tenantId": tenant, "name": "s", "isDefault": null, "templateId": null, "inputs": null });
    world.post(&format!("{PLATFORMS}/{platform}/stacks"), stack).await.expect(201);
    assert_eq!(faults(world.post(PLATFORMS, json!({ "name": null, "slug": "b" })).await), ["name"]);
}

#[tokio::test]
async fn dry_run_stores_nothing() {
    let world = World::start().await;
    let path = format!("{PLATFORMS}?dryRun=true");
    let body = json!({ "name": "A", "slug": "a" });
    let answer = world.post_with(&path, body.clone(), &[("Idempotency-Key", "k")]).await;
    assert_eq!(answer.header("dry-run"), Some("true"));
    let created = answer.expect(201);
    world.get(&format!("{PLATFORMS}/{}", text(&created, "id"))).await.expect_error(404, "NOT_FOUND");
    for table in ["platforms", "lifecycle_events", "audit_log", "outbox", "idempotency_keys", "counters"] {
        assert_eq!(world.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    let id = world.platform("a").await;
    world.post(&path, body.clone()).await.expect_error(409, "ALREADY_EXISTS");
    let verb = format!("{PLATFORMS}/{id}/suspend?dryRun=true");
    assert_eq!(world.post(&verb, json!({})).await.expect(200)["status"], "suspended");
    assert_eq!(world.get(&format!("{PLATFORMS}/{id}")).await.expect(200)["status"], "active");
    let restore = format!("{PLATFORMS}/{id}/restore?dryRun=true");
    world.post(&restore, json!({})).await.expect_error(409, "INVALID_TRANSITION");
    world.post(&format!("{PLATFORMS}?dryRun=yes"), body).await.expect_error(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn stale_if_match_is_rejected() {
    let world = World::start().await;
    let id = world.platform("a").await;
    let path = format!("{PLATFORMS}/{id}");
    let seen = world.get(&path).await.header("etag").unwrap().to_owned();
    let name = |name: &str| json!({ "name": name });
    let changed = world.send(Method::PATCH, &path, &name("B"), &[("If-Match", &seen)]).await;
    let now = changed.header("etag").unwrap().to_owned();
    assert_eq!(changed.expect(200)["name"], "B");
    assert_ne!(seen, now);
    let suspend = format!("{path}/suspend");
    for (method, path) in [(Method::PATCH, &path), (Method::DELETE, &path), (Method::POST, &suspend)] {
        let body = if method == Method::PATCH { name("C") } else { Value::Null };
        let stale = world.send(method, path, &body, &[("If-Match", &seen)]).await;
        assert_eq!(stale.expect_error(412, "PRECONDITION_FAILED")["etag"], now.as_str());
    }
    world.send(Method::PATCH, &path, &name("C"), &[("If-Match", "*")]).await.expect(200);
}

#[tokio::test]
async fn if_none_match_gets_304() {
    let world = World::start().await;
    let path = format!("{PLATFORMS}/{}", world.platform("a").await);
    let etag = world.get(&path).await.header("etag").unwrap().to_owned();
    for seen in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
        let answer = world.send(Method::GET, &path, &Value::Null, &[("If-None-Match", &seen)]).await;
        assert_eq!((answer.status.as_u16(), answer.body.clone()), (304, Value::Null), "{seen}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    world.send(Method::GET, &path, &Value::Null, &[("If-None-Match", "\"x\"")]).await.expect(200);
}

#[tokio::test]
async fn concurrent_changes_are_all_kept() {
    let world = World::start().await;
    let id = world.platform("a").await;
    let path = format!("{PLATFORMS}/{id}");
    let bodies =
        (0..12).map(|n| if n % 2 == 0 { json!({ "name": "N" }) } else { json!({ "repoName": "r" }) });
    for answer in join_all(bodies.map(|body| world.patch(&path, body))).await {
        answer.expect(200);
    }
    let after = world.get(&path).await.expect(200);
    assert_eq!((&after["name"], &after["repoName"]), (&json!("N"), &json!("r")));
    assert_eq!(world.writes().await, 13);
}

#[tokio::test]
async fn invalid_bodies_are_rejected() {
    let world = World::start().await;
    let send = |kind: &'static str, body: Vec<u8>| {
        world.request(Method::POST, PLATFORMS).header("content-type", kind).body(body).send()
    };
    let answer = testkit::Response::read(send("text/plain", b"{}".to_vec()).await.unwrap()).await;
    answer.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    let large = vec![b' '; 2 * 1024 * 1024];
    let answer = testkit::Response::read(send("application/json", large).await.unwrap()).await;
    answer.expect_error(413, "PAYLOAD_TOO_LARGE");
    let answer = testkit::Response::read(send("application/json", b"[1]".to_vec()).await.unwrap()).await;
    answer.expect_error(400, "VALIDATION_ERROR");
}

/// A statement whose connection is cut while it waits fails as an outage and leaves nothing behind.
#[tokio::test]
async fn connection_cut_in_mid_statement_is_503() {
    let world = World::start().await;
    let platform = world.platform("acme").await;
    let path = format!("/api/v1/platforms/{platform}");
    let mut other = world.db.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE platforms IN EXCLUSIVE MODE").await.unwrap();
    let cut = async {
        // Only connections to this database: other tests use the same cluster.
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        while world.number(waits).await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.db.cut_connections().await;
    };
    let (answer, ()) = tokio::join!(world.patch(&path, json!({ "name": "Other" })), cut);
    answer.expect_error(503, "SERVICE_UNAVAILABLE");
    assert_eq!(world.get(&path).await.expect(200)["name"], "Shop");
}
