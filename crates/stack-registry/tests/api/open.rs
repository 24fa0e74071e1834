//! Paths that require no credential.

use reqwest::Method;
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH};

use crate::catalogue::Catalogue;

#[tokio::test]
async fn health_and_schemas_require_no_credential() {
    let catalogue = Catalogue::start().await;
    for path in ["/health", "/ready", DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH] {
        assert_eq!(catalogue.anonymous(Method::GET, path).send().await.unwrap().status(), 200, "{path}");
    }
}
