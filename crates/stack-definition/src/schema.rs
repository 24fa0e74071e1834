//! The format as JSON Schema, made of the types that read it.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{Manifest, StackDefinition, inputs::DRAFT};

/// Where the schema of definitions is served, below any address that serves the API.
pub const DEFINITION_SCHEMA_PATH: &str = "/api/v1/stack-definition.schema.json";
/// Where that of manifests is.
pub const MANIFEST_SCHEMA_PATH: &str = "/api/v1/stack-manifest.schema.json";

/// The JSON Schema (2020-12) of stack definitions. What it takes may still have faults that only code can find: an id
/// that comes twice, inputs that are no schema.
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
    let written = |schema| serde_json::to_value(schema).unwrap_or_default();
    let parts: Map<String, Value> = parts.into_iter().map(|(name, schema)| (name, written(schema))).collect();
    let mut whole = json!({ "$schema": DRAFT, "$id": id, "title": title });
    if let (Some(whole), Value::Object(schema)) = (whole.as_object_mut(), written(T::schema())) {
        whole.extend(schema);
        whole.insert("$defs".to_owned(), Value::Object(parts));
    }
    point_at_parts(&mut whole);
    whole.sort_all_objects();
    whole
}

/// OpenAPI keeps its schemas in another place than JSON Schema.
fn point_at_parts(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to.replace("#/components/schemas/", "#/$defs/");
            }
            fields.values_mut().for_each(point_at_parts);
        }
        Value::Array(items) => items.iter_mut().for_each(point_at_parts),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Value {
        json!({
            "name": "shop", "displayName": "A shop", "description": "Sells things",
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
    fn the_schemas_are_lawful_and_take_what_the_code_takes() {
        let (whole, manifest) = (manifest_schema(), manifest());
        for (schema, value, id) in [
            (definition_schema(), &manifest["definition"], DEFINITION_SCHEMA_PATH),
            (whole, &manifest, MANIFEST_SCHEMA_PATH),
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
