//! The committed OpenAPI document.

use iam::Iam;
use testkit::document;

#[test]
fn committed_document_matches_the_code() {
    document::assert_committed::<Iam>(env!("CARGO_MANIFEST_DIR"));
}
