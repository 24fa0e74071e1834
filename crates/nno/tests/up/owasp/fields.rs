//! API3:2023: what is not for callers to say is refused by name, and what is not for them to see is not answered.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    document::{Document, Operation},
    world::one_of_everything,
};
use crate::system::Place;

/// What systems like this one have been taken over by.
const FAVOURITES: [&str; 16] = [
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

/// What answers have: what a caller may not write is among it.
fn answered(document: &Document, operations: &[Operation]) -> BTreeSet<String> {
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
    for answer in operations.iter().filter_map(|operation| operation.answer.as_ref()) {
        collect(document, answer, &mut names, 6);
    }
    names
}

/// A body with everything in it that is not a field, and the paths of that.
fn strange(document: &Document, schema: &Value, names: &BTreeSet<String>) -> (Value, Vec<String>) {
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
        let (value, inside) = strange(document, &inner, names);
        paths.extend(inside.into_iter().map(|path| format!("{at}.{path}")));
        body.insert(name.clone(), if at == *name { value } else { json!([value]) });
    }
    (body.into(), paths)
}

/// What was said of each path of a refused body.
fn told(answer: &Value) -> BTreeMap<String, Vec<String>> {
    let mut told = BTreeMap::<String, Vec<String>>::new();
    for fault in answer["error"]["details"]["fields"].as_array().into_iter().flatten() {
        let path = fault["path"].as_str().unwrap().trim_start_matches('/').replace('/', ".");
        told.entry(path).or_default().push(fault["message"].as_str().unwrap().to_owned());
    }
    told
}

#[tokio::test]
async fn what_is_not_for_callers_to_say_is_refused_by_name() {
    let place = Place::new();
    let up = place.up().await;
    let document = Document::of(&up).await;
    let operations = document.operations();
    let mut names = answered(&document, &operations);
    assert!(
        names.len() > 100 && names.contains("stripeCustomerId") && names.contains("lastUsedAt"),
        "{names:?}"
    );
    names.extend(FAVOURITES.map(str::to_owned));
    // An answer lists a hundred faults, and bodies have parts that get the same names.
    let names: Vec<String> = names.into_iter().collect();
    let batches: Vec<BTreeSet<String>> =
        names.chunks(8).map(|batch| batch.iter().cloned().collect()).collect();
    let (mut bodies, mut refused) = (0, 0);
    for operation in operations.iter().filter(|operation| operation.writes()) {
        let empty = json!({ "type": "object" });
        for names in &batches {
            let (body, paths) = strange(&document, operation.body.as_ref().unwrap_or(&empty), names);
            let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
            let (status, answer) = up.ask(method, &operation.filled(&[]), Some(body)).await.unwrap();
            let (id, told) = (&operation.id, told(&answer));
            assert_eq!(
                (status, &answer["error"]["code"]),
                (400, &json!("VALIDATION_ERROR")),
                "{id}: {answer}"
            );
            for path in &paths {
                let said = told.get(path).unwrap_or_else(|| panic!("{id}: nothing of {path}: {told:?}"));
                assert!(said.contains(&"is not a known field".to_owned()), "{id}: {path}: {said:?}");
            }
            refused += paths.len();
        }
        bodies += usize::from(operation.body.is_some());
    }
    assert!(bodies >= 35, "{bodies}");
    println!("{refused} fields in {bodies} kinds of bodies");
    for list in ["/api/v1/platforms", "/api/v1/iam/keys", "/api/v1/provisioning/jobs"] {
        assert_eq!(up.get(list).await["data"], json!([]), "{list}");
    }
    up.stop().await;
}

/// What is in an answer, and is not in the schema of it.
fn untold(document: &Document, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let resolved = document.resolve(schema);
    match value {
        Value::Object(fields) => {
            let known = document.fields(schema);
            // Without fields it is what a caller had kept, or a map.
            for (name, value) in fields.iter().filter(|_| !known.is_empty()) {
                match known.iter().find(|(field, _)| field == name) {
                    Some((_, schema)) => untold(document, schema, value, &format!("{at}.{name}"), found),
                    None if resolved.get("additionalProperties").is_some_and(Value::is_object) => {}
                    None => found.push(format!("{at}.{name}")),
                }
            }
        }
        Value::Array(items) => {
            let schema = resolved.get("items").cloned().unwrap_or_default();
            items.iter().for_each(|item| untold(document, &schema, item, &format!("{at}.*"), found));
        }
        _ => {}
    }
}

/// What is ours alone.
const INTERNAL: [&str; 8] =
    ["digest", "password", "fence", "lease", "fingerprint", "shard", "private", "sql"];

#[tokio::test]
async fn answers_have_what_the_document_tells_and_nothing_of_the_inside() {
    let place = Place::new();
    let up = place.up().await;
    let document = Document::of(&up).await;
    let known = one_of_everything(&up).await;
    let known: Vec<(&str, &str)> = known.iter().map(|(name, id)| (*name, id.as_str())).collect();
    let (mut looked_at, mut refused) = (0, Vec::new());
    for operation in document.operations().into_iter().filter(|operation| !operation.writes()) {
        let Some(schema) = &operation.answer else { continue };
        let mut path = operation.filled(&known);
        // A record that hangs on no stack of its own.
        if operation.id == "getDnsRecordOfStack" {
            path = path.replace(&format!("/stacks/{}/", known[2].1), "/stacks/default/");
        }
        let query = if path.ends_with("/lookup") { "?cfName=nothing" } else { "" };
        let (status, answer) = up.ask(Method::GET, &format!("{path}{query}"), None).await.unwrap();
        if status != 200 {
            refused.push(operation.id.clone());
            continue;
        }
        let mut found = Vec::new();
        untold(&document, schema, &answer, "", &mut found);
        assert_eq!(found, [""; 0], "{}: {answer}", operation.id);
        let told = answer.to_string().to_lowercase();
        let names = |word: &&&str| told.contains(&format!("{word}\":")) && !told.contains("\"openapi\"");
        assert_eq!(INTERNAL.iter().find(names), None, "{}: {answer}", operation.id);
        looked_at += 1;
    }
    assert!(looked_at >= 45, "{looked_at}, and without: {refused:?}");
    assert_eq!(refused, ["lookupResource", "lookupResourceAlias"], "nothing is called so");
    up.stop().await;
}
