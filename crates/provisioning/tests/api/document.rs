//! The document of the API, as it is committed.

use provisioning::Provisioning;
use testkit::document;

#[test]
fn the_committed_document_is_that_of_the_code() {
    document::is_committed::<Provisioning>(env!("CARGO_MANIFEST_DIR"));
}
