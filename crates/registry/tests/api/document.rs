//! The document of the API: the one that is committed, and the promise that it must keep.

use registry::Registry;
use testkit::{
    contract::{Promise, shortfalls},
    document,
};

/// What was promised and is not there yet. The list may only become shorter.
const MISSING: &[&str] = &[
    "get /api/v1/platforms/{platformId}/entities/{entityId}/features",
    "post /api/v1/platforms/{platformId}/entities/{entityId}/features/activate",
    "post /api/v1/platforms/{platformId}/entities/{entityId}/features/deactivate",
    "get /api/v1/platforms/{platformId}/entities/{entityId}/features/{featureId}",
    "get /api/v1/platforms/{platformId}/entities/{entityId}/manifest",
    "get /api/v1/domains/pending",
    "get /api/v1/platforms/{platformId}/domains",
    "post /api/v1/platforms/{platformId}/domains",
    "patch /api/v1/platforms/{platformId}/domains/{domainId}",
    "delete /api/v1/platforms/{platformId}/domains/{domainId}",
];

#[test]
fn the_committed_document_is_that_of_the_code() {
    document::is_committed::<Registry>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn it_keeps_what_was_promised() {
    let short = shortfalls(&document::of::<Registry>(), Promise::Registry, MISSING);
    assert!(short.is_empty(), "{}", short.join("\n"));
}
