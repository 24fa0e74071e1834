//! API3:2023: unknown fields are rejected by name, and internal fields are not returned.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    document::{Document, Operation},
    fixtures::create_one_of_each,
};
use crate::system::TestSystem;

/// Fields that mass-assignment attacks typically use.
const TYPICAL_FIELDS: [&str; 16] = [
    "id",
    "_id",
    "createdAt",
    "updatedAt",
    "deletedAt",
    "ownerUserId",
    "platformId",
    "status",
    "role",
    "roles",
    "isAdmin",
    "isOperator",
    "grants",
    "actorId",
    "__proto__",
    "constructor",
];

/// Returns the field names of all responses, which include read-only fields.
fn response_fields(document: &Document, operations: &[Operation]) -> BTreeSet<String> {
    fn collect(document: &Document, schema: &Value, names: &mut BTreeSet<String>, depth: usize) {
        if depth == 0 {
            return;
        }
        for (name, schema) in document.fields(schema) {
            names.insert(name);
            collect(document, &schema, names, depth - 1);
        }
        if let Some(items) = document.resolve(schema).get("items") {
            collect(document, items, names, depth - 1);
        }
    }
    let mut names = BTreeSet::new();
    for response in operations.iter().filter_map(|operation| operation.response.as_ref()) {
        collect(document, response, &mut names, 6);
    }
    names
}

/// Returns a body with all `names` that are not fields of the schema, and their paths.
fn body_with_unknown_fields(
    document: &Document,
    schema: &Value,
    names: &BTreeSet<String>,
) -> (Value, Vec<String>) {
    let fields = document.fields(schema);
    let known = |name: &String| fields.iter().any(|(field, _)| field == name);
    let (mut body, mut paths) = (Map::new(), Vec::new());
    for name in names.iter().filter(|name| !known(name)) {
        body.insert(name.clone(), json!("planted"));
        paths.push(name.clone());
    }
    for (name, schema) in &fields {
        let resolved = document.resolve(schema);
        let (inner, at) = match resolved.get("items") {
            Some(items) => (items.clone(), format!("{name}.0")),
            None => (schema.clone(), name.clone()),
        };
        if document.fields(&inner).is_empty() {
            continue;
        }
        let (value, inside) = body_with_unknown_fields(document, &inner, names);
        paths.extend(inside.into_iter().map(|path| format!("{at}.{path}")));
        body.insert(name.clone(), if at == *name { value } else { json!([value]) });
    }
    (body.into(), paths)
}

/// Returns the messages of a validation error by path.
fn messages(response: &Value) -> BTreeMap<String, Vec<String>> {
    let mut messages = BTreeMap::<String, Vec<String>>::new();
    for fault in response["error"]["details"]["fields"].as_array().into_iter().flatten() {
        let path = fault["path"].as_str().unwrap().trim_start_matches('/').replace('/', ".");
        messages.entry(path).or_default().push(fault["message"].as_str().unwrap().to_owned());
    }
    messages
}

#[tokio::test]
async fn unknown_fields_are_rejected_by_name() {
    let system = TestSystem::new();
    let up = system.start().await;
    let document = Document::of(&up).await;
    let operations = document.operations();
    let mut names = response_fields(&document, &operations);
    assert!(
        names.len() > 100 && names.contains("stripeCustomerId") && names.contains("lastUsedAt"),
        "{names:?}"
    );
    names.extend(TYPICAL_FIELDS.map(str::to_owned));
    // A response lists at most a hundred faults, and nested objects get the same names.
    let names: Vec<String> = names.into_iter().collect();
    let batches: Vec<BTreeSet<String>> =
        names.chunks(8).map(|batch| batch.iter().cloned().collect()).collect();
    let (mut bodies, mut rejected) = (0, 0);
    for operation in operations.iter().filter(|operation| operation.writes()) {
        let empty = json!({ "type": "object" });
        for names in &batches {
            let (body, paths) =
                body_with_unknown_fields(&document, operation.body.as_ref().unwrap_or(&empty), names);
            let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
            let (status, response) = up.call(method, &operation.filled(&[]), Some(body)).await.unwrap();
            let (id, messages) = (&operation.id, messages(&response));
            assert_eq!(
                (status, &response["error"]["code"]),
                (400, &json!("VALIDATION_ERROR")),
                "{id}: {response}"
            );
            for path in &paths {
                let found =
                    messages.get(path).unwrap_or_else(|| panic!("{id}: no fault at {path}: {messages:?}"));
                assert!(found.contains(&"is not a known field".to_owned()), "{id}: {path}: {found:?}");
            }
            rejected += paths.len();
        }
        bodies += usize::from(operation.body.is_some());
    }
    assert!(bodies >= 35, "{bodies}");
    println!("{rejected} fields in {bodies} kinds of bodies");
    for list in ["/api/v1/platforms", "/api/v1/iam/keys", "/api/v1/provisioning/jobs"] {
        assert_eq!(up.get(list).await["data"], json!([]), "{list}");
    }
    up.stop().await;
}

/// Collects the paths of a response that its schema does not have.
fn undocumented(document: &Document, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let resolved = document.resolve(schema);
    match value {
        Value::Object(fields) => {
            let known = document.fields(schema);
            // A schema without fields is a map or client metadata.
            for (name, value) in fields.iter().filter(|_| !known.is_empty()) {
                match known.iter().find(|(field, _)| field == name) {
                    Some((_, schema)) => {
                        undocumented(document, schema, value, &format!("{at}.{name}"), found)
                    }
                    None if resolved.get("additionalProperties").is_some_and(Value::is_object) => {}
                    None => found.push(format!("{at}.{name}")),
                }
            }
        }
        Value::Array(items) => {
            let schema = resolved.get("items").cloned().unwrap_or_default();
            items.iter().for_each(|item| undocumented(document, &schema, item, &format!("{at}.*"), found));
        }
        _ => {}
    }
}

/// Words in the names of internal fields.
const INTERNAL: [&str; 8] =
    ["digest", "password", "fence", "lease", "fingerprint", "shard", "private", "sql"];

#[tokio::test]
async fn responses_have_only_documented_fields() {
    let system = TestSystem::new();
    let up = system.start().await;
    let document = Document::of(&up).await;
    let known = create_one_of_each(&up).await;
    let known: Vec<(&str, &str)> = known.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let (mut checked, mut failed) = (0, Vec::new());
    for operation in document.operations().into_iter().filter(|operation| !operation.writes()) {
        let Some(schema) = &operation.response else { continue };
        let mut path = operation.filled(&known);
        // The record belongs to the default stack.
        if operation.id == "getDnsRecordOfStack" {
            path = path.replace(&format!("/stacks/{}/", known[2].1), "/stacks/default/");
        }
        let query = if path.ends_with("/lookup") { "?cfName=nothing" } else { "" };
        let (status, response) = up.call(Method::GET, &format!("{path}{query}"), None).await.unwrap();
        if status != 200 {
            failed.push(operation.id.clone());
            continue;
        }
        let mut found = Vec::new();
        undocumented(&document, schema, &response, "", &mut found);
        assert_eq!(found, [""; 0], "{}: {response}", operation.id);
        let text = response.to_string().to_lowercase();
        let names = |word: &&&str| text.contains(&format!("{word}\":")) && !text.contains("\"openapi\"");
        assert_eq!(INTERNAL.iter().find(names), None, "{}: {response}", operation.id);
        checked += 1;
    }
    assert!(checked >= 45, "{checked}, and failed: {failed:?}");
    assert_eq!(failed, ["lookupResource", "lookupResourceAlias"], "no resource has the name");
    up.stop().await;
}
