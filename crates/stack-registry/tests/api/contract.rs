//! The document of the API: the one that is committed, and the promise that it must keep.

use std::{collections::BTreeSet, fs, path::Path};

use kit::service::Service;
use serde_json::Value;
use stack_registry::StackRegistry;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn ours() -> Value {
    serde_json::to_value(StackRegistry::openapi()).unwrap()
}

fn promised() -> Value {
    serde_json::from_str(include_str!("contract.json")).unwrap()
}

/// `UPDATE_SNAPSHOTS=1` writes the document instead of comparing it.
#[test]
fn the_committed_document_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = StackRegistry::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "openapi.json is not that of the code: run the tests with UPDATE_SNAPSHOTS=1 and look at the change"
    );
}

/// Every operation, as method and path.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        methods.map(|method| ((*method).to_owned(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn the_operations_are_those_promised() {
    assert_eq!(operations(&ours()), operations(&promised()));
    assert_eq!(operations(&ours()).len(), 8);
}

#[test]
fn operations_have_names_of_their_own() {
    let document = ours();
    let id_of =
        |(method, path): &(String, String)| document["paths"][path][method]["operationId"].as_str().unwrap();
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations.iter().map(id_of).collect();
    assert_eq!(ids.len(), operations.len());
}

#[test]
fn every_operation_keeps_its_promise() {
    let (ours, promised) = (ours(), promised());
    for (method, path) in operations(&promised) {
        let (mine, theirs) = (&ours["paths"][&path][&method], &promised["paths"][&path][&method]);
        let at = format!("{method} {path}");
        assert_eq!(parameters(mine), parameters(theirs), "{at}");
        body_agrees(&format!("{at} body"), &ours, mine.get("requestBody"), theirs.get("requestBody"));
        let statuses = |operation: &Value| {
            operation["responses"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(statuses(mine), statuses(theirs), "{at}");
        for status in statuses(theirs) {
            let at = format!("{at} {status}");
            let (mine, theirs) =
                (schema_of(&mine["responses"][&status]), schema_of(&theirs["responses"][&status]));
            agrees(&at, &resolved(&ours, mine), &ours, &resolved(&promised, theirs), &promised);
        }
    }
}

fn parameters(operation: &Value) -> BTreeSet<(String, String, bool)> {
    let told = operation["parameters"].as_array().unwrap();
    let set: BTreeSet<_> = told
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            (text("in"), text("name"), one["required"].as_bool().unwrap_or_default())
        })
        .collect();
    assert_eq!(set.len(), told.len(), "a parameter is told once");
    set
}

fn body_agrees(at: &str, document: &Value, ours: Option<&Value>, promised: Option<&Value>) {
    let (Some(ours), Some(promised)) = (ours, promised) else {
        assert_eq!(ours.is_some(), promised.is_some(), "{at}");
        return;
    };
    assert_eq!(ours["required"], promised["required"], "{at}");
    let (ours, promised) = (resolved(document, schema_of(ours)), schema_of(promised));
    let names =
        |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&ours), names(promised), "{at}");
    assert_eq!(required(&ours), required(promised), "{at}");
    agrees(at, &ours, document, promised, &Value::Null);
}

fn schema_of(holder: &Value) -> &Value {
    &holder["content"]["application/json"]["schema"]
}

/// Follows references, and of what may be null takes what it else is.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(at) = schema["$ref"].as_str() {
        return resolved(document, document.pointer(at.trim_start_matches('#')).unwrap());
    }
    match schema["oneOf"].as_array().map(Vec::as_slice) {
        Some([one, null]) if null["type"] == "null" => resolved(document, one),
        _ => schema.clone(),
    }
}

fn types(schema: &Value) -> BTreeSet<String> {
    match &schema["type"] {
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    }
}

fn required(schema: &Value) -> BTreeSet<String> {
    schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Ours has all that was promised: types, fields, which of them are required, bounds.
fn agrees(at: &str, ours: &Value, our_document: &Value, promised: &Value, their_document: &Value) {
    if promised.get("type").is_none() && promised.get("properties").is_none() {
        assert!(ours.get("type").is_some(), "{at}: what was promised as anything is something");
        return;
    }
    assert_eq!(types(ours), types(promised), "{at}");
    for bound in ["pattern", "minLength", "maxLength", "enum"] {
        if let Some(value) = promised.get(bound) {
            assert_eq!(ours.get(bound), Some(value), "{at} {bound}");
        }
    }
    assert!(required(ours).is_superset(&required(promised)), "{at}");
    for (name, theirs) in promised["properties"].as_object().into_iter().flatten() {
        let mine = ours["properties"].get(name).unwrap_or_else(|| panic!("{at}: no {name}"));
        let (mine, theirs) = (resolved(our_document, mine), resolved(their_document, theirs));
        agrees(&format!("{at} {name}"), &mine, our_document, &theirs, their_document);
    }
    if let Some(theirs) = promised.get("items") {
        let (mine, theirs) = (resolved(our_document, &ours["items"]), resolved(their_document, theirs));
        agrees(&format!("{at} items"), &mine, our_document, &theirs, their_document);
    }
}
