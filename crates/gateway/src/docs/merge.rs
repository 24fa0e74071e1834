//! One document made of those of the services. They are committed files: no service is linked in or asked.

#![expect(
    clippy::indexing_slicing,
    reason = "of JSON objects that are compiled in; it happens once, at start, and in every test"
)]

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use web::{error_response, response_name};

use super::own;
use crate::{routes, upstream::Upstream};

/// What the gateway itself may answer in a service's place.
const OURS: [StatusCode; 5] = [
    StatusCode::URI_TOO_LONG,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
];

const fn of_service(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Registry => api_documents::REGISTRY,
        Upstream::StackRegistry => api_documents::STACK_REGISTRY,
        Upstream::Onboarding => api_documents::ONBOARDING,
        Upstream::Provisioning => api_documents::PROVISIONING,
        Upstream::Iam => api_documents::IAM,
    }
}

/// The document of everything that can be reached here, with the paths that clients use.
///
/// # Errors
/// When two services say different things under one name.
pub fn document() -> Result<Value> {
    let mut merged = own::document();
    for status in OURS {
        let told = serde_json::to_value(error_response(status))?;
        add(&mut merged, &["components", "responses"], response_name(status), told)?;
    }
    for upstream in Upstream::ALL {
        let mut told: Value = serde_json::from_str(of_service(upstream))
            .with_context(|| format!("the document of {}", upstream.name()))?;
        part_names(&mut told, &merged, upstream);
        for (kind, components) in entries(&told["components"]) {
            for (name, component) in entries(&components) {
                add(&mut merged, &["components", &kind], name, component)?;
            }
        }
        for (path, mut item) in entries(&told["paths"]) {
            let Some(public) = routes::public(upstream, &path) else { continue };
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                complete(operation, upstream, &public);
            }
            add(&mut merged, &["paths"], public, item)?;
        }
    }
    leave_out_empty_groups(&mut merged);
    Ok(merged)
}

/// The paths of a document, and the methods that each takes.
pub(super) fn methods(document: &Value) -> Vec<(String, Vec<String>)> {
    let of_item = |item| entries(&item).into_iter().map(|(method, _)| method.to_uppercase()).collect();
    entries(&document["paths"]).into_iter().map(|(path, item)| (path, of_item(item))).collect()
}

fn leave_out_empty_groups(merged: &mut Value) {
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

/// Adds something that either is not there yet or is the same.
fn add(document: &mut Value, place: &[&str], name: String, value: Value) -> Result<()> {
    let slot = place.iter().fold(document, |value, key| &mut value[*key]);
    if slot.is_null() {
        *slot = json!({});
    }
    let slot = slot.as_object_mut().context("not an object")?;
    let known = slot.entry(&name).or_insert_with(|| value.clone());
    ensure!(*known == value, "{} {name} is told twice, and differently", place.join("."));
    Ok(())
}

/// Gives a schema whose name another service uses for something else the service's name in front.
fn part_names(told: &mut Value, merged: &Value, upstream: Upstream) {
    let service: String = upstream.name().split('-').map(capitalized).collect();
    let taken: Vec<String> = entries(&told["components"]["schemas"])
        .into_iter()
        .filter(|(name, schema)| {
            let known = &merged["components"]["schemas"][name];
            !known.is_null() && known != schema
        })
        .map(|(name, _)| name)
        .collect();
    for name in taken {
        let parted = format!("{service}{name}");
        let at = |name: &str| format!("#/components/schemas/{name}");
        refer(told, &at(&name), &at(&parted));
        if let Some(schemas) = told["components"]["schemas"].as_object_mut()
            && let Some(schema) = schemas.remove(&name)
        {
            schemas.insert(parted, schema);
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Makes every reference to one thing one to another.
fn refer(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == "$ref" && value == from {
                    *value = to.into();
                }
                refer(value, from, to);
            }
        }
        Value::Array(many) => many.iter_mut().for_each(|value| refer(value, from, to)),
        _ => {}
    }
}

/// What an operation gets on its way through the gateway.
fn complete(operation: &mut Value, upstream: Upstream, path: &str) {
    operation["tags"] = json!([group(upstream, path)]);
    for status in OURS {
        let told = format!("#/components/responses/{}", response_name(status));
        operation["responses"][status.as_str()] = json!({ "$ref": told });
    }
}

/// The group of an operation: by its service, and at the registry by the last word of its path that names one.
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
    own::GROUPS.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_of_every_service_can_be_reached() {
        let merged = document().unwrap();
        for upstream in Upstream::ALL {
            let told: Value = serde_json::from_str(of_service(upstream)).unwrap();
            for (path, item) in entries(&told["paths"]) {
                let public = routes::public(upstream, &path).unwrap_or_else(|| panic!("{path}"));
                for (method, operation) in entries(&item) {
                    assert_eq!(merged["paths"][&public][&method]["operationId"], operation["operationId"]);
                }
            }
        }
    }

    #[test]
    fn names_are_told_once_and_references_lead_somewhere() {
        let merged = document().unwrap();
        let mut ids = BTreeSet::new();
        for (path, item) in entries(&merged["paths"]) {
            for (method, operation) in entries(&item) {
                // Generated clients turn the ids into names of their own style, which must not collide.
                let mut id = operation["operationId"].as_str().unwrap().to_ascii_lowercase();
                id.retain(|c| c.is_ascii_alphanumeric());
                assert!(ids.insert(id), "{method} {path}: its operationId is another's too");
                let group = operation["tags"][0].as_str().unwrap();
                assert!(own::GROUPS.iter().any(|(name, _)| *name == group), "{method} {path}: {group}");
            }
        }
        let groups: Vec<&Value> = merged["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        assert!(groups.contains(&&json!("Platforms")) && groups.len() <= own::GROUPS.len());
        let text = merged.to_string();
        let references: Vec<&str> =
            text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(references.len() > 100);
        for at in references {
            assert!(merged.pointer(at).is_some(), "{at}");
        }
    }

    #[test]
    fn names_that_mean_two_things_are_parted() {
        let merged = json!({ "components": { "schemas": { "Thing": { "type": "string" }, "Same": {} } } });
        let mut told = json!({
            "components": { "schemas": { "Thing": { "type": "integer" }, "Same": {} } },
            "paths": { "/": [{ "$ref": "#/components/schemas/Thing" }, { "$ref": "#/components/schemas/Same" }] },
        });
        part_names(&mut told, &merged, Upstream::StackRegistry);
        let expected = json!({
            "components": { "schemas": { "StackRegistryThing": { "type": "integer" }, "Same": {} } },
            "paths": { "/": [
                { "$ref": "#/components/schemas/StackRegistryThing" }, { "$ref": "#/components/schemas/Same" },
            ] },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn operations_are_grouped_by_what_they_are_about() {
        let registrys = [
            ("/api/v1/platforms/{platformId}/suspend", "Platforms"),
            ("/api/v1/platforms/{platformId}/stacks/{stackId}/dns/{dnsId}", "DNS"),
            ("/api/v1/platforms/{platformId}/entities/{entityId}/manifest", "Features"),
            ("/api/v1/platforms/{platformId}/resources/{resourceId}/secrets/{secretName}", "Secrets"),
            ("/api/v1/resources/lookup", "Aliases"),
            ("/api/v1/lookup", "Resources"),
            ("/api/v1/audit", "Audit"),
        ];
        for (path, expected) in registrys {
            assert_eq!(group(Upstream::Registry, path), expected, "{path}");
        }
        assert_eq!(group(Upstream::Onboarding, "/{onboardingId}"), "Aliases");
        assert_eq!(group(Upstream::StackRegistry, "/api/v1/stacks"), "Stack templates");
    }
}
