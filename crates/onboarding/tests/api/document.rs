//! The document of the API: the one that is committed, and the promise that it must keep.

use onboarding::Onboarding;
use testkit::{
    contract::{Promise, shortfalls},
    document,
};

#[test]
fn the_committed_document_is_that_of_the_code() {
    document::is_committed::<Onboarding>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn it_keeps_what_was_promised() {
    let short = shortfalls(&document::of::<Onboarding>(), Promise::Onboarding, &[]);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
