//! The OpenAPI document: the committed copy, and the contract that it must satisfy.

use registry::Registry;
use testkit::{
    contract::{Contract, violations},
    document,
};

/// Operations of the contract that are not implemented yet. The list may only shrink.
const MISSING: &[&str] = &[];

#[test]
fn committed_document_matches_the_code() {
    document::assert_committed::<Registry>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn document_keeps_the_contract() {
    let short = violations(&document::of::<Registry>(), Contract::Registry, MISSING);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
