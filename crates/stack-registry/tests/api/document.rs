//! The committed OpenAPI document, and its conformance to the contract.

use stack_registry::StackRegistry;
use testkit::{
    contract::{Contract, violations},
    document,
};

#[test]
fn committed_document_matches_the_code() {
    document::assert_committed::<StackRegistry>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn document_conforms_to_the_contract() {
    let short = violations(&document::of::<StackRegistry>(), Contract::StackRegistry, &[]);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
