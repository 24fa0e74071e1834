//! OpenAPI documents of services.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use service::Service;

/// The HTTP methods that a path of a document may have.
pub use domain::access::METHODS;

/// Returns the document that the code of the service generates.
pub fn of<S: Service>() -> Value {
    serde_json::to_value(S::openapi()).expect("a document")
}

/// Returns the method and the path of all operations in a document.
pub fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        methods.map(|method| ((*method).to_owned(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Asserts that `openapi.json` in the folder of the crate matches the code and that operation ids are unique.
/// `UPDATE_SNAPSHOTS=1` writes the document instead of comparing it.
pub fn assert_committed<S: Service>(crate_dir: &str) {
    let path = Path::new(crate_dir).join("openapi.json");
    let document = of::<S>();
    let committed =
        || fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    // Compares JSON, because utoipa writes the extensions of an operation in any order. Does not write an unchanged
    // document, because that would trigger a rebuild.
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() && committed().as_ref() != Some(&document) {
        let text = S::openapi().to_pretty_json().expect("a document") + "\n";
        fs::write(&path, text).expect("write the document");
    }
    assert!(
        committed().as_ref() == Some(&document),
        "openapi.json does not match the code. Run the tests with UPDATE_SNAPSHOTS=1 and review the change."
    );
    let mut ids = BTreeSet::new();
    for (method, path) in operations(&document) {
        let id = document["paths"][&path][&method]["operationId"].as_str().expect("operationId");
        assert!(ids.insert(id.to_owned()), "{method} {path}: the operation id {id} is not unique");
    }
}
