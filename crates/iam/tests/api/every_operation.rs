//! Properties of every operation.

use iam::Iam;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Response, document};

use crate::world::{alone, count};

/// Every operation of the API: method, path, body.
fn operations() -> Vec<(Method, &'static str, Value)> {
    let id = "0197f4a1-c0de-7000-8000-00000000002a";
    let key = Box::leak(format!("/api/v1/iam/keys/{id}").into_boxed_str());
    let binding = Box::leak(format!("/api/v1/iam/bindings/{id}").into_boxed_str());
    vec![
        (Method::GET, "/api/v1/iam/whoami", Value::Null),
        (Method::POST, "/api/v1/iam/can", json!({ "checks": [{ "action": "whoami" }] })),
        (Method::GET, "/api/v1/iam/keys", Value::Null),
        (Method::POST, "/api/v1/iam/keys", json!({ "name": "ci", "role": "operator" })),
        (Method::DELETE, key, Value::Null),
        (Method::GET, "/api/v1/iam/bindings", Value::Null),
        (Method::POST, "/api/v1/iam/bindings", json!({ "subject": "ann", "role": "operator" })),
        (Method::DELETE, binding, Value::Null),
        (Method::GET, "/api/v1/iam/audit", Value::Null),
    ]
}

#[test]
fn list_of_operations_is_complete() {
    assert_eq!(document::operations(&document::of::<Iam>()).len(), operations().len());
}

#[tokio::test]
async fn caller_without_grants_sees_and_changes_nothing() {
    let iam = alone().await;
    iam.post("/api/v1/iam/keys", json!({ "name": "ci", "role": "viewer" })).await.expect(201);
    iam.post("/api/v1/iam/bindings", json!({ "subject": "ann", "role": "viewer" })).await.expect(201);
    let nobody = crate::world::person(vec![]);
    for (method, path, body) in operations() {
        let mut request = iam.request_as(&nobody, method.clone(), path);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = Response::read(request.send().await.unwrap()).await;
        match (method.as_str(), path) {
            ("GET", "/api/v1/iam/audit") => drop(answer.expect_error(403, "FORBIDDEN")),
            ("DELETE", _) => drop(answer.expect_error(404, "NOT_FOUND")),
            ("POST", "/api/v1/iam/keys" | "/api/v1/iam/bindings") => {
                drop(answer.expect_error(403, "FORBIDDEN"));
            }
            ("GET", "/api/v1/iam/keys" | "/api/v1/iam/bindings") => {
                assert_eq!(answer.expect(200)["pagination"]["total"], 0);
            }
            _ => drop(answer.expect(200)),
        }
    }
}

#[tokio::test]
async fn dry_run_of_a_write_stores_nothing() {
    let iam = alone().await;
    for (method, path, body) in operations() {
        if method != Method::POST || path.ends_with("/can") {
            continue;
        }
        let response = iam.post(&format!("{path}?dryRun=true"), body.clone()).await;
        assert_eq!(response.header("dry-run"), Some("true"));
        assert_eq!(response.expect(201)["key"], Value::Null);
    }
    for table in ["keys", "bindings", "revocations", "audit_log", "idempotency_keys"] {
        assert_eq!(count(&iam, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn audit_log_contains_every_change() {
    let iam = alone().await;
    let key = iam.post("/api/v1/iam/keys", json!({ "name": "ci", "role": "viewer" })).await.expect(201);
    let binding =
        iam.post("/api/v1/iam/bindings", json!({ "subject": "ann", "role": "viewer" })).await.expect(201);
    iam.delete(&format!("/api/v1/iam/keys/{}", key["id"].as_str().unwrap())).await.expect(200);
    iam.delete(&format!("/api/v1/iam/bindings/{}", binding["id"].as_str().unwrap())).await.expect(200);
    let first = iam.get("/api/v1/iam/audit?limit=3").await.expect(200);
    assert_eq!(first["pagination"]["total"], 4);
    let next =
        format!("/api/v1/iam/audit?limit=3&cursor={}", first["pagination"]["nextCursor"].as_str().unwrap());
    let rest = iam.get(&next).await.expect(200);
    let entries: Vec<&Value> =
        first["data"].as_array().unwrap().iter().chain(rest["data"].as_array().unwrap()).collect();
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["binding.deleted", "key.revoked", "binding.created", "key.created"]);
    assert!(
        entries
            .iter()
            .all(|entry| entry["actorId"] == "operator" && entry["metadata"]["requestId"].is_string())
    );
    assert_eq!((&entries[0]["before"]["subject"], &entries[0]["after"]), (&json!("ann"), &Value::Null));
    assert_eq!(entries[1]["before"]["revokedAt"], Value::Null);
    assert!(entries[1]["after"]["revokedAt"].is_string());
    assert_eq!((&entries[3]["before"], &entries[3]["after"]["name"]), (&Value::Null, &json!("ci")));
    iam.get("/api/v1/iam/audit?cursor=zzz").await.expect_error(400, "INVALID_CURSOR");
}
