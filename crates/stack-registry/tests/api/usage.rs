//! Usage of templates, with a real registry.

use registry::Registry;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use testkit::{Keys, TestDb, TestService};

use crate::catalogue::{template, version};

/// Stack registry and registry that call each other. The registry calls a second stack registry on the same database,
/// because each service starts after the service that it calls.
pub(crate) async fn both() -> (TestService, TestService, TestService) {
    let keys = Keys::new();
    let called =
        TestService::start_on::<StackRegistry>(TestDb::of::<StackRegistry>().await, keys.clone(), json!({}))
            .await;
    let settings = json!({ "service": { "stack_registry": { "url": format!("http://{}", called.grpc) } } });
    let registry =
        TestService::start_on::<Registry>(TestDb::of::<Registry>().await, keys.clone(), settings).await;
    let settings = json!({
        "database": { "url": called.db.app_url },
        "service": { "registry": { "url": format!("http://{}", registry.grpc) } },
    });
    let unused = TestDb::of::<StackRegistry>().await;
    let catalogue = TestService::start_on::<StackRegistry>(unused, keys, settings).await;
    (catalogue, registry, called)
}

pub(crate) async fn platform(registry: &TestService, slug: &str) -> String {
    let created = registry.post("/api/v1/platforms", json!({ "name": slug, "slug": slug })).await.expect(201);
    format!("/api/v1/platforms/{}", created["id"].as_str().unwrap())
}

pub(crate) async fn stack(registry: &TestService, platform: &str, slug: &str) {
    let body = json!({ "name": slug, "slug": slug, "type": "tenant" });
    let tenant = registry.post(&format!("{platform}/entities"), body).await.expect(201);
    let body = json!({ "tenantId": tenant["id"], "name": "main", "templateId": "shop" });
    registry.post(&format!("{platform}/stacks"), body).await.expect(201);
}

#[tokio::test]
async fn usage_counts_stacks_and_platforms_per_version() {
    let (catalogue, registry, _called) = both().await;
    catalogue.post("/api/v1/stacks", template("shop")).await.expect(201);
    let usage = async || catalogue.get("/api/v1/stacks/shop/usage").await;
    let nothing = json!({ "data": [], "total": 0, "stacks": 0, "platforms": 0 });
    assert_eq!(usage().await.expect(200), nothing);
    let (one, other) = (platform(&registry, "one").await, platform(&registry, "other").await);
    for (published, of_one, of_other) in [("1.9.0", 2, 0), ("1.10.0", 1, 1)] {
        catalogue.post("/api/v1/stacks/shop/versions", version(published)).await.expect(201);
        let slug = |n: i32| format!("t{}-{n}", published.replace('.', "-"));
        for n in 0..of_one {
            stack(&registry, &one, &slug(n)).await;
        }
        for n in 0..of_other {
            stack(&registry, &other, &slug(n)).await;
        }
    }
    let expected = json!({
        "data": [
            { "version": "1.10.0", "stacks": 2, "platforms": 2 },
            { "version": "1.9.0", "stacks": 2, "platforms": 1 },
        ],
        "total": 2, "stacks": 4, "platforms": 2,
    });
    assert_eq!(usage().await.expect(200), expected);

    registry.stop().await;
    usage().await.expect_error(503, "SERVICE_UNAVAILABLE");
    catalogue.get("/api/v1/stacks/gone/usage").await.expect_error(404, "NOT_FOUND");
    let ready = catalogue.get("/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.body["checks"]["database"]), (200, &json!("ok")));
    assert_ne!(ready.body["checks"]["registry"], Value::from("ok"));
}

#[tokio::test]
async fn schemas_have_an_etag() {
    let catalogue = TestService::start::<StackRegistry>().await;
    for (path, schema) in [
        (stack_definition::DEFINITION_SCHEMA_PATH, stack_definition::definition_schema()),
        (stack_definition::MANIFEST_SCHEMA_PATH, stack_definition::manifest_schema()),
    ] {
        let read = catalogue.get(path).await;
        let tag = [("If-None-Match", read.header("etag").unwrap())];
        assert_eq!(catalogue.send(reqwest::Method::GET, path, &Value::Null, &tag).await.status, 304);
        assert_eq!(read.expect(200), schema);
    }
}
