//! The document of the API: the one that is committed, and the promise that it must keep.

use registry::Registry;
use testkit::{
    contract::{Promise, shortfalls},
    document,
};

/// What was promised and is not there yet. The list may only become shorter.
const MISSING: &[&str] = &[];

#[test]
fn the_committed_document_is_that_of_the_code() {
    document::is_committed::<Registry>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn it_keeps_what_was_promised() {
    let short = shortfalls(&document::of::<Registry>(), Promise::Registry, MISSING);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
