//! The document of the API, as it is committed.

use std::{collections::BTreeSet, fs, path::Path};

use kit::service::Service;
use registry::Registry;

/// `UPDATE_SNAPSHOTS=1` writes the document instead of comparing it.
#[test]
fn the_committed_document_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = Registry::openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "openapi.json is not that of the code: run the tests with UPDATE_SNAPSHOTS=1 and look at the change"
    );
}

#[test]
fn operations_have_names_of_their_own() {
    let document = serde_json::to_value(Registry::openapi()).unwrap();
    let operations: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .collect();
    let ids: BTreeSet<&str> =
        operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
}
