//! The merged document of all services. It is built from committed files, so no service is linked or called.

#![expect(
    clippy::indexing_slicing,
    reason = "the JSON objects are compiled in; indexing happens once, at start, and in every test"
)]

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use web::{error_response, response_name};

use super::base;
use crate::{routes, upstream::Upstream};

/// The statuses that the gateway itself may return for any operation.
const GATEWAY_STATUSES: [StatusCode; 5] = [
    StatusCode::URI_TOO_LONG,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
];

const fn service_document(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Registry => api_documents::REGISTRY,
        Upstream::StackRegistry => api_documents::STACK_REGISTRY,
        Upstream::Onboarding => api_documents::ONBOARDING,
        Upstream::Provisioning => api_documents::PROVISIONING,
        Upstream::Iam => api_documents::IAM,
    }
}

/// Builds the document of all operations, with the paths that clients use.
///
/// # Errors
/// When two services define the same name differently.
pub fn document() -> Result<Value> {
    let mut merged = base::document();
    for status in GATEWAY_STATUSES {
        let response = serde_json::to_value(error_response(status))?;
        add(&mut merged, &["components", "responses"], response_name(status), response)?;
    }
    for upstream in Upstream::ALL {
        let mut document: Value = serde_json::from_str(service_document(upstream))
            .with_context(|| format!("the document of {}", upstream.name()))?;
        rename_conflicting_schemas(&mut document, &merged, upstream);
        for (kind, components) in entries(&document["components"]) {
            for (name, component) in entries(&components) {
                add(&mut merged, &["components", &kind], name, component)?;
            }
        }
        for (path, mut item) in entries(&document["paths"]) {
            let Some(public) = routes::public_path(upstream, &path) else { continue };
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                add_gateway_parts(operation, upstream, &public);
            }
            add(&mut merged, &["paths"], public, item)?;
        }
    }
    remove_empty_groups(&mut merged);
    Ok(merged)
}

/// Returns the paths of a document with the methods of each.
pub(super) fn methods(document: &Value) -> Vec<(String, Vec<String>)> {
    let of_item = |item| entries(&item).into_iter().map(|(method, _)| method.to_uppercase()).collect();
    entries(&document["paths"]).into_iter().map(|(path, item)| (path, of_item(item))).collect()
}

fn remove_empty_groups(merged: &mut Value) {
    let items = entries(&merged["paths"]).into_iter().map(|(_, item)| item);
    let used: BTreeSet<String> = items
        .flat_map(|item| entries(&item))
        .map(|(_, operation)| operation["tags"][0].to_string())
        .collect();
    if let Some(groups) = merged["tags"].as_array_mut() {
        groups.retain(|group| used.contains(&group["name"].to_string()));
    }
}

pub(super) fn entries(object: &Value) -> Vec<(String, Value)> {
    let entries = object.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Adds a value under a name that is either new or has the same value.
fn add(document: &mut Value, path: &[&str], name: String, value: Value) -> Result<()> {
    let slot = path.iter().fold(document, |value, key| &mut value[*key]);
    if slot.is_null() {
        *slot = json!({});
    }
    let slot = slot.as_object_mut().context("not an object")?;
    let existing = slot.entry(&name).or_insert_with(|| value.clone());
    ensure!(*existing == value, "{} {name} has two different definitions", path.join("."));
    Ok(())
}

/// Prefixes a schema with the service's name if another service uses its name for a different schema.
fn rename_conflicting_schemas(document: &mut Value, merged: &Value, upstream: Upstream) {
    let service: String = upstream.name().split('-').map(capitalized).collect();
    let conflicting: Vec<String> = entries(&document["components"]["schemas"])
        .into_iter()
        .filter(|(name, schema)| {
            let existing = &merged["components"]["schemas"][name];
            !existing.is_null() && existing != schema
        })
        .map(|(name, _)| name)
        .collect();
    for name in conflicting {
        let renamed = format!("{service}{name}");
        let reference = |name: &str| format!("#/components/schemas/{name}");
        replace_references(document, &reference(&name), &reference(&renamed));
        if let Some(schemas) = document["components"]["schemas"].as_object_mut()
            && let Some(schema) = schemas.remove(&name)
        {
            schemas.insert(renamed, schema);
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Replaces all references to `from` by references to `to`.
fn replace_references(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == "$ref" && value == from {
                    *value = to.into();
                }
                replace_references(value, from, to);
            }
        }
        Value::Array(many) => many.iter_mut().for_each(|value| replace_references(value, from, to)),
        _ => {}
    }
}

/// Adds the group of an operation, and the responses of the gateway.
fn add_gateway_parts(operation: &mut Value, upstream: Upstream, path: &str) {
    operation["tags"] = json!([group(upstream, path)]);
    for status in GATEWAY_STATUSES {
        let reference = format!("#/components/responses/{}", response_name(status));
        operation["responses"][status.as_str()] = json!({ "$ref": reference });
    }
}

/// Returns the group of an operation: by its service, or for the registry by the last word of its path that names a
/// group.
fn group(upstream: Upstream, path: &str) -> &'static str {
    let is_alias = path.starts_with("/api/v1/resources/") || !path.starts_with("/api/");
    match upstream {
        _ if is_alias => "Aliases",
        Upstream::StackRegistry => "Stack templates",
        Upstream::Onboarding => "Onboarding",
        Upstream::Provisioning => "Jobs",
        Upstream::Iam => "Access",
        Upstream::Registry => path.rsplit('/').find_map(named).unwrap_or("Platforms"),
    }
}

fn named(word: &str) -> Option<&'static str> {
    let word = match word {
        "lookup" => "resources",
        "manifest" => "features",
        word => word,
    };
    base::GROUPS.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_contains_every_operation_of_every_service() {
        let merged = document().unwrap();
        for upstream in Upstream::ALL {
            let document: Value = serde_json::from_str(service_document(upstream)).unwrap();
            for (path, item) in entries(&document["paths"]) {
                let public = routes::public_path(upstream, &path).unwrap_or_else(|| panic!("{path}"));
                for (method, operation) in entries(&item) {
                    assert_eq!(merged["paths"][&public][&method]["operationId"], operation["operationId"]);
                }
            }
        }
    }

    #[test]
    fn operation_ids_are_unique_and_references_resolve() {
        let merged = document().unwrap();
        let mut ids = BTreeSet::new();
        for (path, item) in entries(&merged["paths"]) {
            for (method, operation) in entries(&item) {
                // Generated clients convert the ids to their own naming style, in which they must not collide.
                let mut id = operation["operationId"].as_str().unwrap().to_ascii_lowercase();
                id.retain(|c| c.is_ascii_alphanumeric());
                assert!(ids.insert(id), "{method} {path}: the operationId is not unique");
                let group = operation["tags"][0].as_str().unwrap();
                assert!(base::GROUPS.iter().any(|(name, _)| *name == group), "{method} {path}: {group}");
            }
        }
        let groups: Vec<&Value> = merged["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        assert!(groups.contains(&&json!("Platforms")) && groups.len() <= base::GROUPS.len());
        let text = merged.to_string();
        let references: Vec<&str> =
            text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(references.len() > 100);
        for at in references {
            assert!(merged.pointer(at).is_some(), "{at}");
        }
    }

    #[test]
    fn conflicting_schemas_are_renamed() {
        let merged = json!({ "components": { "schemas": { "Note": { "type": "string" }, "Same": {} } } });
        let mut document = json!({
            "components": { "schemas": { "Note": { "type": "integer" }, "Same": {} } },
            "paths": { "/": [{ "$ref": "#/components/schemas/Note" }, { "$ref": "#/components/schemas/Same" }] },
        });
        rename_conflicting_schemas(&mut document, &merged, Upstream::StackRegistry);
        let expected = json!({
            "components": { "schemas": { "StackRegistryNote": { "type": "integer" }, "Same": {} } },
            "paths": { "/": [
                { "$ref": "#/components/schemas/StackRegistryNote" }, { "$ref": "#/components/schemas/Same" },
            ] },
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn operations_are_grouped_by_subject() {
        let registry = [
            ("/api/v1/platforms/{platformId}/suspend", "Platforms"),
            ("/api/v1/platforms/{platformId}/stacks/{stackId}/dns/{dnsId}", "DNS"),
            ("/api/v1/platforms/{platformId}/entities/{entityId}/manifest", "Features"),
            ("/api/v1/platforms/{platformId}/resources/{resourceId}/secrets/{secretName}", "Secrets"),
            ("/api/v1/resources/lookup", "Aliases"),
            ("/api/v1/lookup", "Resources"),
            ("/api/v1/audit", "Audit"),
        ];
        for (path, expected) in registry {
            assert_eq!(group(Upstream::Registry, path), expected, "{path}");
        }
        assert_eq!(group(Upstream::Onboarding, "/{onboardingId}"), "Aliases");
        assert_eq!(group(Upstream::StackRegistry, "/api/v1/stacks"), "Stack templates");
    }
}
