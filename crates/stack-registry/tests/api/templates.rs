//! Templates over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, fault_paths, template};

#[tokio::test]
async fn created_template_can_be_read() {
    let catalogue = Catalogue::start().await;
    let body = json!({
        "name": "shop", "displayName": "A shop", "description": "Sells\ngoods", "icon": "cart", "domain": "commerce",
    });
    let created = catalogue.post("/api/v1/stacks", body).await.expect(201);
    assert_eq!(created.as_object().unwrap().len(), 1, "{created}");

    let detail = catalogue.detail("shop").await;
    let template = &detail["template"];
    let at = template["created_at"].as_i64().unwrap();
    assert!(at > 1_700_000_000_000, "milliseconds: {at}");
    let expected = json!({
        "id": created["id"], "name": "shop", "display_name": "A shop", "description": "Sells\ngoods", "icon": "cart",
        "domain": "commerce", "latest_version": null, "status": "active", "created_at": at, "updated_at": at,
    });
    assert_eq!(*template, expected);
    assert_eq!(detail, json!({ "template": expected, "latestVersion": null }));
}

#[tokio::test]
async fn absent_optional_fields_are_null() {
    let catalogue = Catalogue::with_shop().await;
    let template = &catalogue.detail("shop").await["template"];
    for field in ["icon", "domain", "latest_version"] {
        assert_eq!(template.get(field), Some(&Value::Null), "{field}");
    }
}

#[tokio::test]
async fn template_name_cannot_be_used_again() {
    let catalogue = Catalogue::with_shop().await;
    for status in ["active", "deprecated"] {
        catalogue.patch("/api/v1/stacks/shop", json!({ "status": status })).await.expect(200);
        let rejected = catalogue.post("/api/v1/stacks", template("shop")).await;
        assert_eq!(rejected.expect_error(409, "ALREADY_EXISTS")["name"], "shop");
    }
}

#[tokio::test]
async fn all_faults_of_a_new_template_are_reported() {
    let catalogue = Catalogue::start().await;
    let paths = async |body: Value| {
        let mut paths = fault_paths(catalogue.post("/api/v1/stacks", body).await);
        paths.sort();
        paths
    };
    assert_eq!(paths(json!({})).await, ["description", "displayName", "name"]);
    let wrong = json!({ "name": "A shop", "displayName": "", "description": "x".repeat(1025), "icon": 1, "colour": "red" });
    assert_eq!(paths(wrong).await, ["colour", "description", "displayName", "icon", "name"]);
    let one = async |field: &str, value: Value| {
        let mut body = template("shop");
        body[field] = value;
        paths(body).await
    };
    for name in ["", "a b", "Shop", "größe", &"a".repeat(65)] {
        assert_eq!(one("name", json!(name)).await, ["name"], "{name}");
    }
    for field in ["displayName", "description", "icon", "domain"] {
        assert_eq!(one(field, json!("a\0b")).await, [field]);
    }
    assert_eq!(one("displayName", json!("x".repeat(129))).await, ["displayName"]);
    for field in ["displayName", "description"] {
        assert_eq!(one(field, Value::Null).await, [field], "it is required");
    }
    assert_eq!(catalogue.count("stack_templates").await, 0);
    let mut body = template("shop");
    (body["icon"], body["domain"]) = (Value::Null, Value::Null);
    catalogue.post("/api/v1/stacks", body).await.expect(201);
}

#[tokio::test]
async fn values_at_the_limits_are_valid() {
    let catalogue = Catalogue::start().await;
    let name = "a".repeat(64);
    let body = json!({ "name": name, "displayName": "ä".repeat(128), "description": "ä".repeat(1024), "icon": "", "domain": "" });
    catalogue.post("/api/v1/stacks", body).await.expect(201);
    let detail = catalogue.detail(&name).await;
    assert_eq!(
        (detail["template"]["icon"].as_str(), detail["template"]["domain"].as_str()),
        (Some(""), Some(""))
    );
}

#[tokio::test]
async fn list_contains_active_templates_newest_first() {
    let catalogue = Catalogue::start().await;
    assert_eq!(catalogue.get("/api/v1/stacks").await.expect(200), json!({ "data": [], "total": 0 }));
    for name in ["one", "two", "three"] {
        catalogue.create(name).await;
        // Ids of the same millisecond have no order across processes.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let names = async || {
        let listed = catalogue.get("/api/v1/stacks").await.expect(200);
        let names: Vec<String> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(listed["total"], names.len());
        names
    };
    assert_eq!(names().await, ["three", "two", "one"]);
    catalogue.patch("/api/v1/stacks/two", json!({ "status": "deprecated" })).await.expect(200);
    assert_eq!(names().await, ["three", "one"]);
    assert_eq!(catalogue.detail("two").await["template"]["status"], "deprecated", "readable by name");
    catalogue.patch("/api/v1/stacks/two", json!({ "status": "active" })).await.expect(200);
    assert_eq!(names().await, ["three", "two", "one"]);
}

#[tokio::test]
async fn patch_changes_only_its_fields() {
    let catalogue = Catalogue::with_shop().await;
    let before = catalogue.detail("shop").await["template"].clone();
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let change = json!({ "displayName": "Another", "icon": "bag" });
    assert_eq!(catalogue.patch("/api/v1/stacks/shop", change).await.expect(200), json!({ "ok": true }));
    let after = catalogue.detail("shop").await["template"].clone();
    assert!(after["updated_at"].as_i64() > before["updated_at"].as_i64());
    let mut expected = before;
    expected["display_name"] = json!("Another");
    expected["icon"] = json!("bag");
    expected["updated_at"] = after["updated_at"].clone();
    assert_eq!(after, expected);

    catalogue.patch("/api/v1/stacks/shop", json!({ "icon": null })).await.expect(200);
    assert_eq!(catalogue.detail("shop").await["template"]["icon"], Value::Null);
}

#[tokio::test]
async fn patch_without_effect_is_not_recorded() {
    let catalogue = Catalogue::with_shop().await;
    let before = catalogue.detail("shop").await;
    for unchanged in
        [json!({}), Value::Null, json!({ "displayName": "A shop", "status": "active", "icon": null })]
    {
        catalogue.patch("/api/v1/stacks/shop", unchanged).await.expect(200);
    }
    assert_eq!(catalogue.detail("shop").await, before);
    assert_eq!(catalogue.count("audit_log").await, 1, "the entry of the creation");
}

#[tokio::test]
async fn all_faults_of_a_patch_are_reported() {
    let catalogue = Catalogue::with_shop().await;
    let wrong = json!({ "displayName": null, "description": "", "icon": 1, "status": "gone", "name": "other", "domain": "x" });
    let mut paths = fault_paths(catalogue.patch("/api/v1/stacks/shop", wrong).await);
    paths.sort();
    assert_eq!(
        paths,
        ["description", "domain", "icon", "name", "status"],
        "null for a required field is ignored"
    );
}

#[tokio::test]
async fn unknown_template_is_not_found() {
    let catalogue = Catalogue::with_shop().await;
    for name in ["gone", "NO%20NAME", &"a".repeat(65)] {
        catalogue.get(&format!("/api/v1/stacks/{name}")).await.expect_error(404, "NOT_FOUND");
        catalogue.patch(&format!("/api/v1/stacks/{name}"), json!({})).await.expect_error(404, "NOT_FOUND");
    }
    let rejected = catalogue.delete("/api/v1/stacks/shop").await;
    assert_eq!(rejected.header("allow"), Some("GET, HEAD, OPTIONS, PATCH"));
    rejected.expect_error(405, "METHOD_NOT_ALLOWED");
    let rejected = catalogue.send(Method::PUT, "/api/v1/stacks/shop/versions", &Value::Null, &[]).await;
    assert_eq!(
        rejected.header("allow"),
        Some("GET, HEAD, OPTIONS, POST"),
        "not the methods of a version named versions"
    );
    rejected.expect_error(405, "METHOD_NOT_ALLOWED");
}
