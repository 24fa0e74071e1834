//! The committed OpenAPI document, and its conformance to the contract.

use stack_registry::StackRegistry;
use testkit::{
    contract::{Promise, shortfalls},
    document,
};

#[test]
fn committed_document_matches_the_code() {
    document::is_committed::<StackRegistry>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn document_conforms_to_the_contract() {
    let short = shortfalls(&document::of::<StackRegistry>(), Promise::StackRegistry, &[]);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
