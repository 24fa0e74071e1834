//! JSON Schemas of definitions and manifests. Like the other API documents, they require no credential.

use std::sync::LazyLock;

use actix_web::{HttpRequest, web::get};
use serde_json::Value;
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH, definition_schema, manifest_schema};
use web::{HttpResult, ServiceConfig};

static DEFINITION: LazyLock<Value> = LazyLock::new(definition_schema);
static MANIFEST: LazyLock<Value> = LazyLock::new(manifest_schema);

/// Adds the paths of the schemas, which are not operations of the API.
pub(crate) fn http(config: &mut ServiceConfig) {
    config.route(DEFINITION_SCHEMA_PATH, get().to(definition));
    config.route(MANIFEST_SCHEMA_PATH, get().to(manifest));
}

async fn definition(request: HttpRequest) -> HttpResult {
    web::read(&request, &*DEFINITION)
}

async fn manifest(request: HttpRequest) -> HttpResult {
    web::read(&request, &*MANIFEST)
}
