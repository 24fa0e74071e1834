//! Every public operation × invalid keys, and × valid keys of a different platform, through the gateway and iam.

use diesel_async::SimpleAsyncConnection;
use domain::access::{About, Operation, declared_operation};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Response, document};

use crate::system::{OPERATOR, System, TestGateway};

const KEYS: &str = "/api/v1/iam/keys";

/// A request for an operation on one platform.
struct OperationRequest {
    operation: Operation,
    method: Method,
    path: String,
    body: Value,
}

/// Returns a request for each operation of the document that requires authentication.
fn authenticated_operations(platform: &str) -> Vec<OperationRequest> {
    let document = gateway::document().unwrap();
    let is_public =
        |(method, path): &(String, String)| document["paths"][path][method]["security"] == json!([]);
    let all = document::operations(&document).into_iter().filter(|operation| !is_public(operation));
    let request = |(method, path): (String, String)| {
        let operation = &document["paths"][&path][&method];
        OperationRequest {
            operation: declared_operation(operation).unwrap(),
            method: method.to_uppercase().parse().unwrap(),
            path: filled(&path, platform),
            body: body(&document, operation),
        }
    };
    all.map(request).collect()
}

/// Returns the path with plausible parameters.
fn filled(path: &str, platform: &str) -> String {
    let part = |part: &str| match part {
        "{platformId}" => platform.to_owned(),
        "{entityId}" | "{stackId}" => "abcdefghij".to_owned(),
        "{featureId}" | "{name}" => "shop".to_owned(),
        "{version}" => "1.0.0".to_owned(),
        "{secretName}" => "SECRET".to_owned(),
        part if part.starts_with('{') => uuid::Uuid::now_v7().to_string(),
        part => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Returns a valid body with the required fields only.
fn body(document: &Value, operation: &Value) -> Value {
    let schema = resolved(document, &operation["requestBody"]["content"]["application/json"]["schema"]);
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let field = |name: &str| {
        let schema = resolved(document, &schema["properties"][name]);
        (name.to_owned(), value(name, schema))
    };
    if schema.is_null() { Value::Null } else { required.map(field).collect() }
}

fn value(name: &str, schema: &Value) -> Value {
    let has = |key: &str, text: &str| schema[key].as_str().is_some_and(|value| value.contains(text));
    match () {
        () if schema["enum"].is_array() => schema["enum"][0].clone(),
        () if schema["type"] == "array" => json!([]),
        () if has("format", "uuid") => json!(uuid::Uuid::now_v7()),
        () if has("pattern", r"\d") => json!("1.0.0"),
        () if name.ends_with("Id") || schema["pattern"].is_string() => json!("abcdefghij"),
        () => json!("a.example"),
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(at) => resolved(document, document.pointer(at.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// Creates a key as the operator and returns the response of iam.
async fn create_key(gateway: &TestGateway, grant: Value) -> Value {
    let mut body = json!({ "name": "a key" });
    runtime::config::merge(&mut body, grant);
    gateway.post(KEYS, body).await
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap().to_owned()
}

/// Creates a platform and returns its id.
async fn create_platform(gateway: &TestGateway, slug: &str) -> String {
    text(&gateway.post("/api/v1/platforms", json!({ "name": slug, "slug": slug })).await, "id")
}

/// Returns invalid keys, most of them derived from valid operator keys.
async fn invalid_keys(system: &System, gateway: &TestGateway) -> Vec<(&'static str, String)> {
    let operator = || json!({ "role": "operator" });
    let (valid, revoked, expired) = (
        create_key(gateway, operator()).await,
        create_key(gateway, operator()).await,
        create_key(gateway, operator()).await,
    );
    let whoami = async |key: &Value| {
        gateway.send(&text(key, "key"), Method::GET, "/api/v1/iam/whoami", &Value::Null).await
    };
    // The gateway now caches the key.
    whoami(&revoked).await.expect(200);
    let path = format!("{KEYS}/{}", text(&revoked, "id"));
    gateway.send(OPERATOR, Method::DELETE, &path, &Value::Null).await.expect(200);
    let sql = format!(
        "UPDATE keys SET expires_at = now() - interval '1 second' WHERE id = '{}'",
        text(&expired, "id")
    );
    system.iam.db.connect_as_owner().await.batch_execute(&sql).await.unwrap();
    whoami(&valid).await.expect(200);
    let valid = text(&valid, "key");
    let end = if valid.ends_with('A') { "B" } else { "A" };
    let other = text(&create_key(gateway, operator()).await, "key");
    let signer = system.iam.keys.signer("gateway");
    vec![
        ("empty", String::new()),
        ("revoked", text(&revoked, "key")),
        ("expired", text(&expired, "key")),
        ("tampered", format!("{}{end}", &valid[..valid.len() - 1])),
        ("the secret of a different key", format!("{}{}", &valid[..37], &other[37..])),
        ("truncated", valid[..valid.len() - 1].to_owned()),
        ("a token between processes", signer.sign("registry", &identity::Caller::operator()).unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_keys_are_rejected_by_every_operation() {
    let system = System::start().await;
    let gateway = system.start_gateway();
    let invalid = invalid_keys(&system, &gateway).await;
    let all = authenticated_operations(&create_platform(&gateway, "own").await);
    assert!(all.len() > 90, "{}", all.len());
    for OperationRequest { method, path, body, .. } in &all {
        let anonymous = gateway.anonymous(method.clone(), path).send().await.unwrap();
        Response::read(anonymous).await.expect_error(401, "UNAUTHORIZED");
        for (kind, key) in &invalid {
            let answer = gateway.send(key, method.clone(), path, body).await;
            assert_eq!(answer.status, 401, "{kind}: {method} {path}: {}", answer.text);
            answer.expect_error(401, "UNAUTHORIZED");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_other_platforms_have_no_access() {
    let system = System::start().await;
    let gateway = system.start_gateway();
    let (own, other) = (create_platform(&gateway, "own").await, create_platform(&gateway, "other").await);
    let tenant = json!({ "name": "Tenant", "slug": "tenant", "type": "tenant" });
    let tenant = gateway.post(&format!("/api/v1/platforms/{other}/entities"), tenant).await;
    let mut keys = Vec::new();
    for role in ["viewer", "developer", "platform-admin"] {
        for mut grant in [json!({}), json!({ "entityId": tenant["id"] })] {
            runtime::config::merge(&mut grant, json!({ "role": role, "platformId": other }));
            keys.push((grant.to_string(), text(&create_key(&gateway, grant).await, "key")));
        }
    }
    let mut failures = Vec::new();
    for OperationRequest { operation, method, path, body } in authenticated_operations(&own) {
        for (grant, key) in &keys {
            let answer = gateway.send(key, method.clone(), &path, &body).await;
            let (status, code) = (answer.status.as_u16(), &answer.body["error"]["code"]);
            let is_expected = match operation.about {
                About::Platform | About::Entity => (status, code) == (404, &json!("NOT_FOUND")),
                About::Everything => (status, code) == (403, &json!("FORBIDDEN")),
                About::Caller => status < 500,
            };
            let leaks = !path.contains(&own) && answer.text.contains(&own);
            if !is_expected || leaks {
                failures.push(format!("{grant}: {} {method} {path}: {status} {}", operation.id, answer.text));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
