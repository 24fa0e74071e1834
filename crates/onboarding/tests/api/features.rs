//! A feature of an onboarded platform, from its stack's template to the manifest, through all services.

use std::time::Duration;

use serde_json::{Value, json};

use crate::system::System;

#[tokio::test]
async fn feature_is_activated_listed_and_deactivated() {
    let system = System::start().await;
    let body = json!({ "name": "shop", "displayName": "Shop", "description": "Sells" });
    system.stacks.post("/api/v1/stacks", body).await.expect(201);
    let definition = json!({ "schemaVersion": 1, "displayName": "Shop", "features": [
            { "id": "cart", "version": "1.0.0", "package": "@shop/cart", "required": true, "permissions": ["cart:read"] }
        ], "resources": { "d1": true, "r2": false, "kv": false, "queue": false } });
    let version = json!({ "version": "1.0.0", "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
    system.stacks.post("/api/v1/stacks/shop/versions", version).await.expect(201);
    let onboarding = system.wait_for_end(&system.onboard("acme").await).await;
    let platform = onboarding["platformId"].as_str().unwrap();
    let at = |path: &str| format!("/api/v1/platforms/{platform}/{path}");
    let registry = &system.registry;
    let id_of = |response: Value| response["id"].as_str().unwrap().to_owned();
    let tenant = json!({ "name": "Tenant", "slug": "tenant", "type": "tenant" });
    let tenant = id_of(registry.post(&at("entities"), tenant).await.expect(201));
    let stack = json!({ "tenantId": tenant, "name": "main", "templateId": "shop" });
    let stack = id_of(registry.post(&at("stacks"), stack).await.expect(201));
    for _ in 0..1500 {
        if registry.get(&at(&format!("stacks/{stack}"))).await.expect(200)["status"] == "active" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The stack's own resources in production: the shared ones and those of its feature.
    let stack_resources = ["cart", "cart-db", "shared-db"].map(|name| format!("{platform}-{stack}-{name}"));

    let tenant_path = |path: &str| at(&format!("entities/{tenant}/{path}"));
    let wait_for_manifest = async |features: Value| {
        for _ in 0..1500 {
            let manifest = registry.get(&tenant_path("manifest?env=stg")).await.expect(200);
            if manifest["features"] == features {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{}", registry.get(&tenant_path("manifest?env=stg")).await.body)
    };
    let body = json!({ "featureId": "cart", "version": "1.0.0", "environment": "stg" });
    registry.post(&tenant_path("features/activate"), body).await.expect(202);
    let url = format!("https://cart.svc.stg.{stack}.{platform}.nno.localhost");
    wait_for_manifest(json!([{ "id": "cart", "version": "1.0.0", "package": "@shop/cart", "serviceUrl": url, "status": "active" }]))
        .await;
    let owned = registry.get(&tenant_path("resources")).await.expect(200);
    let mut names: Vec<_> =
        owned["data"].as_array().unwrap().iter().map(|one| one["cfName"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.retain(|name| !stack_resources.iter().any(|own| own == name));
    assert_eq!(names, [format!("{platform}-{stack}-cart-db-stg"), format!("{platform}-{stack}-cart-stg")]);
    let build = registry.get(&at("builds/latest?env=stg")).await.expect(200);
    assert_eq!(
        (&build["buildStatus"], &build["triggeredBy"]),
        (&json!("success"), &json!("feature_activation"))
    );

    let body = json!({ "featureId": "cart", "environment": "stg", "deleteData": true });
    registry.post(&tenant_path("features/deactivate"), body).await.expect(200);
    wait_for_manifest(json!([])).await;
    for _ in 0..1500 {
        if registry.get(&tenant_path("features/cart?env=stg")).await.expect(200)["status"] == "deactivated" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(registry.get(&tenant_path("resources")).await.expect(200)["pagination"]["total"], 3);
    // From the onboarding: d1, worker, secret, two host names, repository. From the stack: three resources, one host name.
    assert_eq!(system.provider.live().await.unwrap().len(), 6 + 4);
}
