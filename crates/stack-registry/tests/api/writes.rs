//! Properties of every write: idempotency, dry runs, preconditions and audit.

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, fault_paths, template, version};

/// Every write of the API on a catalogue with `shop` 1.0.0: method, path, body, status.
fn writes() -> Vec<(Method, &'static str, Value, u16)> {
    vec![
        (Method::POST, "/api/v1/stacks", template("blog"), 201),
        (Method::PATCH, "/api/v1/stacks/shop", json!({ "displayName": "Another" }), 200),
        (Method::POST, "/api/v1/stacks/shop/versions", version("1.1.0"), 201),
        (Method::DELETE, "/api/v1/stacks/shop/1.0.0", Value::Null, 200),
    ]
}

async fn start() -> Catalogue {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    catalogue
}

/// Complete visible state.
async fn all(catalogue: &Catalogue) -> Value {
    json!([
        catalogue.get("/api/v1/stacks").await.body,
        catalogue.versions("shop").await,
        catalogue.detail("shop").await,
        catalogue.count("stack_templates WHERE labels IS NOT NULL").await,
        catalogue.count("audit_log").await,
        catalogue.count("outbox").await,
        catalogue.count("counters").await,
        catalogue.count("(SELECT 1 FROM counters, generate_series(1, n)) added").await,
    ])
}

#[tokio::test]
async fn dry_run_stores_nothing() {
    let catalogue = start().await;
    let before = all(&catalogue).await;
    for (method, path, body, status) in writes() {
        let dry = catalogue
            .send(method, &format!("{path}?dryRun=true"), &body, &[("Idempotency-Key", "dry")])
            .await;
        assert_eq!(dry.header("dry-run"), Some("true"), "{path}");
        dry.expect(status);
    }
    assert_eq!(all(&catalogue).await, before);
    assert_eq!(catalogue.count("idempotency_keys").await, 0);
    let mut body = version("2.0.0");
    body["stackDefinition"]["dependsOn"] = json!([{ "template": "gone", "versionRange": "*" }]);
    body["stackDefinition"]["labels"] = json!({ "tier": "gold" });
    let rejected = catalogue.post("/api/v1/stacks/shop/versions?dryRun=true", body.clone()).await;
    assert_eq!(fault_paths(rejected), ["/stackDefinition/dependsOn/0/template"]);
    body["stackDefinition"]["dependsOn"] = json!([]);
    catalogue.post("/api/v1/stacks/shop/versions?dryRun=true", body).await.expect(201);
    assert_eq!(all(&catalogue).await, before, "neither the latest version nor its labels");
    catalogue
        .post("/api/v1/stacks/shop/versions?dryRun=true", version("1.0.0"))
        .await
        .expect_error(409, "ALREADY_EXISTS");
    catalogue
        .post("/api/v1/stacks/gone/versions?dryRun=true", version("1.0.0"))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn repeated_write_with_a_key_happens_once() {
    let catalogue = start().await;
    for (n, (method, path, body, status)) in writes().into_iter().enumerate() {
        let key = format!("key-{n}");
        let send = async |body: &Value| {
            catalogue.send(method.clone(), path, body, &[("Idempotency-Key", &key)]).await
        };
        let first = send(&body).await;
        assert_eq!(first.header("idempotent-replayed"), None);
        let again = send(&body).await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
        assert_eq!(again.header("etag"), first.header("etag"));
        assert_eq!(again.expect(status), first.expect(status));
        let other = match (&method, path) {
            (&Method::DELETE, _) => json!({}),
            (_, "/api/v1/stacks/shop/versions") => version("7.0.0"),
            (&Method::POST, _) => template("other"),
            _ => json!({ "displayName": "Other" }),
        };
        send(&other).await.expect_error(422, "IDEMPOTENCY_MISMATCH");
    }
    assert_eq!(catalogue.count("audit_log").await, 6, "two to start with and four writes");
}

#[tokio::test]
async fn replay_returns_the_original_response() {
    let catalogue = start().await;
    let publish = async || {
        catalogue
            .send(
                Method::POST,
                "/api/v1/stacks/shop/versions",
                &version("1.1.0"),
                &[("Idempotency-Key", "k")],
            )
            .await
    };
    let first = publish().await.expect(201);
    catalogue.patch("/api/v1/stacks/shop", json!({ "status": "deprecated" })).await.expect(200);
    assert_eq!(publish().await.expect(201), first);
}

#[tokio::test]
async fn concurrent_requests_with_one_key_happen_once() {
    let catalogue = start().await;
    let (body, headers) = (version("2.0.0"), [("Idempotency-Key", "once")]);
    let sent = (0..8).map(|_| catalogue.send(Method::POST, "/api/v1/stacks/shop/versions", &body, &headers));
    let ids: Vec<Value> =
        join_all(sent).await.into_iter().map(|answer| answer.expect(201)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(catalogue.versions("shop").await.len(), 2);
}

#[tokio::test]
async fn changed_template_is_not_overwritten() {
    let catalogue = Catalogue::start().await;
    let path = "/api/v1/stacks/shop";
    let etag = |answer: &testkit::Response| answer.header("etag").unwrap().to_owned();
    let patch = async |tag: &str, name: &str| {
        catalogue.send(Method::PATCH, path, &json!({ "displayName": name }), &[("If-Match", tag)]).await
    };
    let created = catalogue.post("/api/v1/stacks", template("shop")).await;
    let first = etag(&catalogue.get(path).await);
    assert_eq!(etag(&created), first, "the ETag of the creation equals the ETag of a read");
    let changed = patch(&first, "One").await;
    assert_eq!(etag(&changed), etag(&catalogue.get(path).await));
    changed.expect(200);

    let details = patch(&first, "Two").await.expect_error(412, "PRECONDITION_FAILED");
    let now = etag(&catalogue.get(path).await);
    assert_eq!(details["etag"], now.as_str());
    patch(&format!("\"other\", {now}"), "Three").await.expect(200);
    patch("*", "Four").await.expect(200);

    // The representation of a template contains its latest version.
    let before = etag(&catalogue.get(path).await);
    catalogue.publish("shop", "1.0.0").await;
    patch(&before, "Five").await.expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(catalogue.detail("shop").await["template"]["display_name"], "Four");
}

#[tokio::test]
async fn stale_etag_does_not_deprecate_a_version() {
    let catalogue = Catalogue::with_shop().await;
    let path = "/api/v1/stacks/shop/1.0.0";
    let published = catalogue.try_publish("shop", version("1.0.0")).await;
    let read = catalogue.get(path).await;
    assert_eq!(published.header("etag"), read.header("etag"));
    let tag = read.header("etag").unwrap();
    let delete =
        async |tag: &str| catalogue.send(Method::DELETE, path, &Value::Null, &[("If-Match", tag)]).await;
    delete("\"stale\"").await.expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("1.0.0"));
    delete(tag).await.expect(200);
    delete(tag).await.expect_error(412, "PRECONDITION_FAILED");
}

#[tokio::test]
async fn conditional_read_returns_304() {
    let catalogue = start().await;
    let paths = ["/api/v1/stacks/shop", "/api/v1/stacks/shop/1.0.0"];
    let mut seen = Vec::new();
    for path in paths {
        seen.push(catalogue.get(path).await.header("etag").unwrap().to_owned());
    }
    let again = async |n: usize| {
        catalogue.send(Method::GET, paths[n], &Value::Null, &[("If-None-Match", &seen[n])]).await
    };
    for n in 0..2 {
        assert_eq!(again(n).await.status, 304);
    }
    catalogue.deprecate("shop", "1.0.0").await;
    for n in 0..2 {
        again(n).await.expect(200);
    }
}

#[derive(Debug, QueryableByName)]
struct Audited {
    #[diesel(sql_type = sql_types::Text)]
    action: String,
    #[diesel(sql_type = sql_types::Text)]
    actor_type: String,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Jsonb>)]
    before: Option<Value>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Jsonb>)]
    after: Option<Value>,
    #[diesel(sql_type = sql_types::Jsonb)]
    metadata: Value,
}

#[tokio::test]
async fn every_write_is_audited() {
    let catalogue = start().await;
    catalogue.patch("/api/v1/stacks/shop", json!({ "displayName": "Another" })).await.expect(200);
    catalogue.patch("/api/v1/stacks/shop", json!({ "status": "deprecated" })).await.expect(200);
    catalogue.patch("/api/v1/stacks/shop", json!({ "status": "active" })).await.expect(200);
    let path = "/api/v1/stacks/shop/1.0.0";
    catalogue.send(Method::DELETE, path, &Value::Null, &[("X-Request-Id", "the-request")]).await.expect(200);
    let sql = "SELECT action, actor_type, before, after, metadata FROM audit_log ORDER BY id";
    let rows: Vec<Audited> = sql_query(sql).load(&mut catalogue.db.connect().await).await.unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
    let expected = [
        "stack_template.created",
        "stack_version.published",
        "stack_template.updated",
        "stack_template.deprecated",
        "stack_template.activated",
        "stack_version.deprecated",
    ];
    assert_eq!(actions, expected);
    assert!(rows.iter().all(|row| row.actor_type == "operator" && row.after.is_some()));
    assert!(rows[0].before.is_none() && rows[1].before.is_none());
    let of = |state: &Option<Value>, field: &str| state.as_ref().unwrap()[field].clone();
    assert_eq!(
        (of(&rows[2].before, "display_name"), of(&rows[2].after, "display_name")),
        (json!("A shop"), json!("Another"))
    );
    assert_eq!(
        (of(&rows[5].before, "status"), of(&rows[5].after, "status")),
        (json!("active"), json!("deprecated"))
    );
    assert_eq!(rows[5].metadata["requestId"], "the-request");
    assert_eq!(catalogue.count("outbox").await, 6, "one event per write");
}
