//! The OpenAPI document: the committed copy, and the contract that it must satisfy.

use registry::Registry;
use testkit::{
    contract::{Promise, shortfalls},
    document,
};

/// Operations of the contract that are not implemented yet. The list may only shrink.
const MISSING: &[&str] = &[];

#[test]
fn committed_document_matches_the_code() {
    document::is_committed::<Registry>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn document_keeps_the_contract() {
    let short = shortfalls(&document::of::<Registry>(), Promise::Registry, MISSING);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
