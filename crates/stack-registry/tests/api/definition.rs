//! Definitions over HTTP: their stored text, and the paths of their faults.

use serde_json::{Value, json};

use crate::catalogue::{Catalogue, fault_paths, version};

fn full_definition() -> Value {
    json!({
        "schemaVersion": 1,
        "displayName": "A shop",
        "description": "Sells goods",
        "labels": { "zone.example/tier": "gold", "a/b": "" },
        "features": [
            { "id": "zebra", "version": "2.0.0-rc.1", "package": "@acme/zebra", "required": true, "service": true,
              "permissions": ["zebra:write", "zebra:read-all"] },
            { "id": "ant", "version": "1.0.0", "package": "@acme/ant", "required": false, "permissions": [] },
        ],
        "resources": { "d1": true, "r2": false, "kv": true, "queue": false },
        "inputs": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": { "title": { "type": "string", "pattern": "^[a-z]+$" }, "age": { "type": "integer", "maximum": 1.5e3 } },
            "required": ["title"],
            "$defs": { "x": true },
            "additionalProperties": { "$ref": "#/$defs/x" },
        },
        "dependsOn": [{ "template": "auth", "versionRange": ">=1.2, <2" }],
    })
}

#[tokio::test]
async fn definition_is_stored_as_canonical_text() {
    let catalogue = Catalogue::with_shop().await;
    catalogue.create("auth").await;
    catalogue.publish("auth", "1.5.0").await;
    let mut body = version("1.0.0");
    body["stackDefinition"] = full_definition();
    catalogue.try_publish("shop", body.clone()).await.expect(201);
    let text = |read: &Value| read["stack_definition"].as_str().unwrap().to_owned();
    let first = text(&catalogue.get("/api/v1/stacks/shop/1.0.0").await.expect(200));
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap(), full_definition());
    assert!(first.starts_with(r#"{"dependsOn":[{"template":"auth","versionRange":">=1.2, <2"}],"description":"Sells goods","displayName":"A shop","features":[{"id":"zebra","package""#), "{first}");
    assert!(first.contains(r#""labels":{"a/b":"","zone.example/tier":"gold"},"resources":{"d1":true,"kv":true,"queue":false,"r2":false},"schemaVersion":1}"#), "{first}");

    // Publishing the returned definition again stores the same text.
    body["version"] = json!("1.0.1");
    body["stackDefinition"] = serde_json::from_str(&first).unwrap();
    catalogue.try_publish("shop", body).await.expect(201);
    assert_eq!(text(&catalogue.get("/api/v1/stacks/shop/1.0.1").await.expect(200)), first);
}

#[tokio::test]
async fn all_faults_are_reported_with_their_pointers() {
    let catalogue = Catalogue::with_shop().await;
    let mut body = json!({ "version": "01.0.0", "nnoSdkVersion": 2, "stackDefinition": full_definition(), "channel": "beta" });
    let definition = &mut body["stackDefinition"];
    definition["schemaVersion"] = json!(2);
    definition["description"] = Value::Null;
    definition["colour"] = json!("red");
    definition["labels"]["a/b"] = json!(1);
    definition["features"][0]["id"] = json!("Zebra");
    definition["features"][1]["permissions"] = json!(["ant:Read", "bee:read", "ant:", "ant:read"]);
    definition["features"][1].as_object_mut().unwrap().remove("package");
    definition["features"].as_array_mut().unwrap().push(full_definition()["features"][1].clone());
    definition["features"][2]["version"] = json!("1.0.0-01");
    definition["resources"]["queue"] = json!("yes");
    definition["inputs"]["properties"]["title"]["type"] = json!("text");
    definition["dependsOn"][0]["versionRange"] = json!("about 2");
    let mut paths = fault_paths(catalogue.try_publish("shop", body).await);
    paths.sort();
    let expected = [
        "/stackDefinition/colour",
        "/stackDefinition/dependsOn/0/versionRange",
        "/stackDefinition/description",
        "/stackDefinition/features/0/id",
        "/stackDefinition/features/1/package",
        "/stackDefinition/features/1/permissions/0",
        "/stackDefinition/features/1/permissions/1",
        "/stackDefinition/features/1/permissions/2",
        "/stackDefinition/features/2/id",
        "/stackDefinition/features/2/version",
        "/stackDefinition/inputs/properties/title/type",
        "/stackDefinition/labels/a~1b",
        "/stackDefinition/resources/queue",
        "/stackDefinition/schemaVersion",
        "channel",
        "nnoSdkVersion",
        "version",
    ];
    assert_eq!(paths, expected);
    assert_eq!(catalogue.count("stack_versions").await, 0);
}

#[tokio::test]
async fn missing_or_malformed_definition_is_one_fault() {
    let catalogue = Catalogue::with_shop().await;
    let missing = fault_paths(catalogue.try_publish("shop", json!({})).await);
    assert_eq!(missing, ["nnoSdkVersion", "/stackDefinition", "version"]);
    for wrong in [Value::Null, json!("{}"), json!([]), json!(1)] {
        let mut body = version("1.0.0");
        body["stackDefinition"] = wrong;
        assert_eq!(fault_paths(catalogue.try_publish("shop", body).await), ["/stackDefinition"]);
    }
    assert_eq!(fault_paths(catalogue.try_publish("shop", json!([])).await), [""]);
}

#[tokio::test]
async fn invalid_versions_are_rejected() {
    let catalogue = Catalogue::with_shop().await;
    for wrong in
        ["", "1", "1.0", "v1.0.0", "1.0.0+build", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0-a-b"]
    {
        for field in ["version", "nnoSdkVersion"] {
            let mut body = version("1.0.0");
            body[field] = json!(wrong);
            assert_eq!(fault_paths(catalogue.try_publish("shop", body).await), [field], "{wrong}");
        }
    }
}
