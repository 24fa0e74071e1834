//! Versions over HTTP.

use serde_json::{Value, json};

use crate::catalogue::{Catalogue, version};

#[tokio::test]
async fn published_version_can_be_read() {
    let catalogue = Catalogue::start().await;
    let template = catalogue.create("shop").await;
    let id = catalogue.publish("shop", "1.2.3").await;
    let read = catalogue.get("/api/v1/stacks/shop/1.2.3").await.expect(200);
    let at = read["created_at"].as_i64().unwrap();
    assert!(at > 1_700_000_000_000, "milliseconds: {at}");
    let expected = json!({
        "id": id, "template_id": template, "version": "1.2.3",
        "stack_definition": r#"{"displayName":"A shop","features":[],"resources":{"d1":false,"kv":false,"queue":false,"r2":false},"schemaVersion":1}"#,
        "nno_sdk_version": "2.0.0", "status": "active", "published_at": at, "created_at": at,
    });
    assert_eq!(read, expected);
    assert_eq!(catalogue.versions("shop").await, std::slice::from_ref(&expected));
    assert_eq!(catalogue.detail("shop").await["latestVersion"], expected);
}

#[tokio::test]
async fn versions_are_listed_by_precedence_highest_first() {
    let catalogue = Catalogue::with_shop().await;
    for one in ["1.0.0", "1.0.0-rc.2", "10.0.0-beta", "1.0.0-rc.11", "9.0.0", "1.0.0-alpha"] {
        catalogue.publish("shop", one).await;
    }
    let order: Vec<Value> =
        catalogue.versions("shop").await.iter().map(|one| one["version"].clone()).collect();
    assert_eq!(order, ["10.0.0-beta", "9.0.0", "1.0.0", "1.0.0-rc.11", "1.0.0-rc.2", "1.0.0-alpha"]);
}

#[tokio::test]
async fn latest_version_is_the_highest_stable_or_else_the_highest_pre_release() {
    let catalogue = Catalogue::with_shop().await;
    assert_eq!(catalogue.latest("shop").await, None);
    for (published, latest) in [
        ("2.0.0-rc.9", "2.0.0-rc.9"),
        ("2.0.0-rc.10", "2.0.0-rc.10"),
        ("2.0.0-beta", "2.0.0-rc.10"),
        ("1.9.0", "1.9.0"),
        ("1.10.0", "1.10.0"),
        ("1.2.0", "1.10.0"),
        ("3.0.0-alpha", "1.10.0"),
    ] {
        catalogue.publish("shop", published).await;
        assert_eq!(catalogue.latest("shop").await.as_deref(), Some(latest), "after {published}");
    }
    for (deprecated, latest) in [
        ("1.10.0", Some("1.9.0")),
        ("3.0.0-alpha", Some("1.9.0")),
        ("1.9.0", Some("1.2.0")),
        ("1.2.0", Some("2.0.0-rc.10")),
        ("2.0.0-rc.10", Some("2.0.0-rc.9")),
        ("2.0.0-rc.9", Some("2.0.0-beta")),
        ("2.0.0-beta", None),
    ] {
        catalogue.deprecate("shop", deprecated).await;
        assert_eq!(catalogue.latest("shop").await.as_deref(), latest, "after {deprecated}");
    }
    catalogue.publish("shop", "0.0.1").await;
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("0.0.1"));
}

#[tokio::test]
async fn versions_of_templates_are_separate() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.create("blog").await;
    catalogue.publish("shop", "2.0.0").await;
    catalogue.publish("blog", "1.0.0").await;
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("2.0.0"));
    assert_eq!(catalogue.latest("blog").await.as_deref(), Some("1.0.0"));
    assert_eq!(catalogue.versions("blog").await.len(), 1);
    catalogue.get("/api/v1/stacks/blog/2.0.0").await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn version_cannot_be_published_twice() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    let before = catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200);
    let mut other = version("1.0.0");
    other["stackDefinition"]["displayName"] = json!("Another");
    for _ in 0..2 {
        let details = catalogue.try_publish("shop", other.clone()).await.expect_error(409, "ALREADY_EXISTS");
        assert_eq!(details["version"], "1.0.0");
    }
    assert_eq!(catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200), before);
    catalogue.deprecate("shop", "1.0.0").await;
    catalogue.try_publish("shop", other).await.expect_error(409, "ALREADY_EXISTS");
}

#[tokio::test]
async fn deprecated_versions_stay_readable() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    let mut expected = catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200);
    for _ in 0..2 {
        catalogue.deprecate("shop", "1.0.0").await;
    }
    expected["status"] = json!("deprecated");
    assert_eq!(catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200), expected);
    assert_eq!(catalogue.versions("shop").await, [expected]);
    assert_eq!(
        catalogue.count("audit_log WHERE action = 'stack_version.deprecated'").await,
        1,
        "the second deprecation has no effect"
    );
}

#[tokio::test]
async fn deprecated_template_accepts_no_version() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    catalogue.patch("/api/v1/stacks/shop", json!({ "status": "deprecated" })).await.expect(200);
    let details = catalogue.try_publish("shop", version("1.1.0")).await.expect_error(422, "UNPROCESSABLE");
    assert_eq!(details["name"], "shop");
    assert_eq!(catalogue.versions("shop").await.len(), 1);
    assert_eq!(catalogue.latest("shop").await.as_deref(), Some("1.0.0"));
    catalogue.deprecate("shop", "1.0.0").await;
    assert_eq!(catalogue.latest("shop").await, None);
    catalogue.patch("/api/v1/stacks/shop", json!({ "status": "active" })).await.expect(200);
    catalogue.publish("shop", "1.1.0").await;
}

#[tokio::test]
async fn unknown_template_and_version_are_not_found() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.try_publish("gone", version("1.0.0")).await.expect_error(404, "NOT_FOUND");
    catalogue.get("/api/v1/stacks/gone/versions").await.expect_error(404, "NOT_FOUND");
    assert!(catalogue.versions("shop").await.is_empty());
    for path in ["gone/1.0.0", "shop/1.0.0", "shop/one", "shop/01.0.0", "shop/1.0.0+build"] {
        catalogue.get(&format!("/api/v1/stacks/{path}")).await.expect_error(404, "NOT_FOUND");
        catalogue.delete(&format!("/api/v1/stacks/{path}")).await.expect_error(404, "NOT_FOUND");
    }
}
