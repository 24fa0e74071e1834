//! JSON Schema of the format, generated from the types that read it.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{Manifest, StackDefinition, inputs::DRAFT};

/// Path of the schema of definitions, below any address that serves the API.
pub const DEFINITION_SCHEMA_PATH: &str = "/api/v1/stack-definition.schema.json";
/// Path of the schema of manifests.
pub const MANIFEST_SCHEMA_PATH: &str = "/api/v1/stack-manifest.schema.json";

/// The JSON Schema (2020-12) of stack definitions. It accepts some definitions with faults that only code detects:
/// duplicate ids, inputs that are not a schema.
pub fn definition_schema() -> Value {
    document::<StackDefinition>(DEFINITION_SCHEMA_PATH, "Stack definition")
}

/// The JSON Schema (2020-12) of stack manifests.
pub fn manifest_schema() -> Value {
    document::<Manifest>(MANIFEST_SCHEMA_PATH, "Stack manifest")
}

fn document<T: ToSchema>(id: &str, title: &str) -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let to_json = |schema| serde_json::to_value(schema).unwrap_or_default();
    let parts: Map<String, Value> = parts.into_iter().map(|(name, schema)| (name, to_json(schema))).collect();
    let mut document = json!({ "$schema": DRAFT, "$id": id, "title": title });
    if let (Some(document), Value::Object(schema)) = (document.as_object_mut(), to_json(T::schema())) {
        document.extend(schema);
        document.insert("$defs".to_owned(), Value::Object(parts));
    }
    rewrite_references(&mut document);
    document.sort_all_objects();
    document
}

/// Changes references to the schemas of an OpenAPI document into references to `$defs`.
fn rewrite_references(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to.replace("#/components/schemas/", "#/$defs/");
            }
            fields.values_mut().for_each(rewrite_references);
        }
        Value::Array(items) => items.iter_mut().for_each(rewrite_references),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Value {
        json!({
            "name": "shop", "displayName": "A shop", "description": "Sells goods",
            "version": "1.0.0", "nnoSdkVersion": "1.0.0",
            "definition": {
                "schemaVersion": 1,
                "displayName": "A shop",
                "features": [{ "id": "cart", "version": "1.0.0", "package": "cart", "required": true, "permissions": [] }],
                "resources": { "d1": true, "r2": true, "kv": true, "queue": true },
                "inputs": { "type": "object" },
                "dependsOn": [{ "template": "identity", "versionRange": "^1" }],
                "labels": { "tier": "gold" },
            },
        })
    }

    #[test]
    fn schemas_are_valid_and_agree_with_the_code() {
        let (manifest_schema, manifest) = (manifest_schema(), manifest());
        for (schema, value, id) in [
            (definition_schema(), &manifest["definition"], DEFINITION_SCHEMA_PATH),
            (manifest_schema, &manifest, MANIFEST_SCHEMA_PATH),
        ] {
            assert!(jsonschema::meta::is_valid(&schema), "{schema}");
            assert_eq!((&schema["$id"], &schema["$schema"]), (&json!(id), &json!(DRAFT)));
            assert!(!schema.to_string().contains("#/components"), "{schema}");
            let validator = jsonschema::validator_for(&schema).unwrap();
            assert!(validator.is_valid(value), "{value}");
            for name in value.as_object().unwrap().keys() {
                let mut wrong = value.clone();
                wrong[name] = Value::Null;
                assert!(!validator.is_valid(&wrong), "{name} may not be null");
            }
            let mut unknown = value.clone();
            unknown["colour"] = json!("red");
            assert!(!validator.is_valid(&unknown));
        }
        assert!(Manifest::read(&manifest).is_ok());
    }
}
