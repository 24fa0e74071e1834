//! Common parts of the operations' responses.

use actix_web::http::StatusCode;
use utoipa::{
    PartialSchema,
    openapi::{
        Components, Content, Header, RefOr, Response, ResponseBuilder, Schema, header::HeaderBuilder,
        path::Operation,
    },
};

use super::{Shape, resolved};

/// Returns true if the operation returns a list: an object with `data`.
pub(super) fn is_list(components: &Components, operation: &Operation) -> bool {
    let Some(RefOr::T(Response { content, .. })) = operation.responses.responses.get("200") else {
        return false;
    };
    let Some(RefOr::T(Content { schema: Some(schema), .. })) = content.values().next() else { return false };
    let schema = resolved(components, schema);
    matches!(schema, Some(RefOr::T(Schema::Object(object))) if object.properties.contains_key("data"))
}

/// Adds descriptions and headers to the successful responses.
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
        let mut add_header = |name: &str, description: &str| {
            response.headers.insert(name.to_owned(), RefOr::T(header(description)));
        };
        add_header("X-Request-Id", "The id of the request.");
        if shape.has_etag {
            add_header("ETag", "Identifies the current state of the object.");
        }
        if shape.is_write {
            add_header("Dry-Run", "`true` if the request was a dry run and nothing was stored.");
            add_header("Idempotent-Replayed", "`true` if this is the stored response of an earlier request.");
        }
    }
    if shape.has_etag {
        let not_modified = ResponseBuilder::new().description("The client has the current state.").build();
        operation.responses.responses.insert("304".to_owned(), RefOr::T(not_modified));
    }
}

fn header(description: &str) -> Header {
    HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build()
}
