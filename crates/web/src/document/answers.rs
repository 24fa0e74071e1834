//! What the answers of operations have in common.

use actix_web::http::StatusCode;
use utoipa::{
    PartialSchema,
    openapi::{
        Components, Content, Header, RefOr, Response, ResponseBuilder, Schema, header::HeaderBuilder,
        path::Operation,
    },
};

use super::{Shape, resolved};

/// Whether the operation answers a list: an object whose things are under `data`.
pub(super) fn is_list(components: &Components, operation: &Operation) -> bool {
    let Some(RefOr::T(Response { content, .. })) = operation.responses.responses.get("200") else {
        return false;
    };
    let Some(RefOr::T(Content { schema: Some(schema), .. })) = content.values().next() else { return false };
    let schema = resolved(components, schema);
    matches!(schema, Some(RefOr::T(Schema::Object(object))) if object.properties.contains_key("data"))
}

/// Says in words what each success is, and which headers come with it.
pub(super) fn describe(operation: &mut Operation, shape: Shape) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let status = StatusCode::from_bytes(status.as_bytes()).unwrap_or_default();
        if response.description.is_empty() {
            status.canonical_reason().unwrap_or_default().clone_into(&mut response.description);
        }
        if !status.is_success() {
            continue;
        }
        let mut tell = |name: &str, description: &str| {
            response.headers.insert(name.to_owned(), RefOr::T(header(description)));
        };
        tell("X-Request-Id", "The id of the request.");
        if shape.has_etag {
            tell("ETag", "Names this state of the thing.");
        }
        if shape.is_write {
            tell("Dry-Run", "`true` where nothing was kept.");
            tell("Idempotent-Replayed", "`true` where this is the answer of an earlier request.");
        }
    }
    if shape.has_etag {
        let same = ResponseBuilder::new().description("The client has it already").build();
        operation.responses.responses.insert("304".to_owned(), RefOr::T(same));
    }
}

fn header(description: &str) -> Header {
    HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build()
}
