//! The OpenAPI document: the committed copy and the required contract.

use onboarding::Onboarding;
use testkit::{
    contract::{Contract, violations},
    document,
};

#[test]
fn committed_document_matches_the_code() {
    document::assert_committed::<Onboarding>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn document_fulfils_the_contract() {
    let short = violations(&document::of::<Onboarding>(), Contract::Onboarding, &[]);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
