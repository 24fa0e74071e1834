//! The document of the API: the one that is committed.

use iam::Iam;
use testkit::document;

#[test]
fn the_committed_document_is_that_of_the_code() {
    document::is_committed::<Iam>(env!("CARGO_MANIFEST_DIR"));
}
