//! Objects for the attacks.

use reqwest::Method;
use serde_json::{Value, json};

use crate::system::{Up, eventually};

pub(crate) async fn post(up: &Up, path: &str, body: Value) -> Value {
    let (status, response) = up.call(Method::POST, path, Some(body)).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {response}");
    response
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}")).to_owned()
}

/// Creates one object of each type. Returns their ids by the names of path parameters.
pub(crate) async fn create_one_of_each(up: &Up) -> Vec<(&'static str, String)> {
    let template = json!({ "name": "shop", "displayName": "Shop", "description": "Sells" });
    post(up, "/api/v1/stacks", template).await;
    let definition = json!({
        "schemaVersion": 1, "displayName": "Shop", "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
        "features": [{ "id": "cart", "version": "1.0.0", "package": "@shop/cart", "required": true, "permissions": [] }],
    });
    let version = json!({ "version": "1.0.0", "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
    post(up, "/api/v1/stacks/shop/versions", version).await;
    let body =
        json!({ "platformName": "Acme", "slug": "acme", "tier": "starter", "stackTemplateId": "shop" });
    let onboarding = text(&post(up, "/api/v1/onboarding", body).await, "onboardingId");
    let mut session = Value::Null;
    eventually("the onboarding ends", async || {
        session = up.get(&format!("/api/v1/onboarding/{onboarding}")).await;
        session["status"] != "in_progress"
    })
    .await;
    let platform = text(&session, "platformId");
    let at = format!("/api/v1/platforms/{platform}");
    let first = async |list: &str| up.get(&format!("{at}/{list}")).await["data"][0].clone();
    let (entity, stack, resource) =
        (first("entities").await, first("stacks").await, first("resources").await);
    let entity_id = text(&entity, "id");
    let resource_id = text(&resource, "id");
    let record = json!({
        "hostname": "a.example.invalid", "targetType": "worker", "resourceId": resource_id, "environment": "prod",
    });
    let record = text(&post(up, &format!("{at}/stacks/default/dns"), record).await, "id");
    let target = format!("a.svc.default.{platform}.nno.localhost");
    let domain = json!({ "dnsRecordId": record, "hostname": "b.example.invalid", "targetDns": target });
    let domain = text(&post(up, &format!("{at}/domains"), domain).await, "id");
    post(up, &format!("{at}/resources/{resource_id}/secrets/A"), json!({ "status": "set" })).await;
    let key = json!({ "name": "ci", "role": "viewer", "platformId": platform });
    let key = text(&post(up, "/api/v1/iam/keys", key).await, "id");
    post(up, "/api/v1/iam/bindings", json!({ "subject": "alice", "role": "viewer" })).await;
    let job =
        text(&up.get(&format!("/api/v1/provisioning/jobs?platformId={platform}")).await["data"][0], "id");
    vec![
        ("platformId", platform),
        ("entityId", entity_id),
        ("stackId", text(&stack, "id")),
        ("resourceId", resource_id),
        ("dnsId", record),
        ("domainId", domain),
        ("keyId", key),
        ("onboardingId", onboarding),
        ("jobId", job),
        ("featureId", "cart".to_owned()),
        ("name", "shop".to_owned()),
        ("version", "1.0.0".to_owned()),
    ]
}
