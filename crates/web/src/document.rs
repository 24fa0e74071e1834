//! The OpenAPI document of a service: the handlers' declarations, and what all operations have in common.

mod errors;
mod nullable;
mod parameters;
mod responses;
mod security;

use actix_web::App;
use utoipa::openapi::{Components, Content, OpenApi, PathItem, RefOr, Required, Schema, path::Operation};
use utoipa_actix_web::AppExt;

use super::Routes;

pub(super) use security::declared_access;

pub use errors::{ErrorEnvelope, error_response, response_name};

/// The properties of an operation that determine its common parameters and responses.
#[derive(Debug, Clone, Copy)]
struct Shape {
    is_write: bool,
    has_body: bool,
    /// The operation is about an object that may not exist.
    may_be_missing: bool,
    /// The operation changes an object that the client can have read before.
    takes_if_match: bool,
    /// The operation returns one object with its ETag.
    has_etag: bool,
}

/// Builds the document of the routes.
pub fn document(routes: Routes, base: OpenApi) -> OpenApi {
    let mut document = App::new().into_utoipa_app().openapi(base).configure(routes).split_for_parts().1;
    let components = document.components.get_or_insert_default();
    for (path, item) in &mut document.paths.paths {
        let is_list = item.get.is_some();
        for (method, operation) in operations(item) {
            let is_write = method != "GET";
            let may_be_missing = path.contains('{') || operation.responses.responses.contains_key("404");
            let shape = Shape {
                is_write,
                has_body: operation.request_body.is_some(),
                may_be_missing,
                // A POST to a list creates an object.
                takes_if_match: is_write && may_be_missing && !(method == "POST" && is_list),
                has_etag: !is_write && !responses::is_list(components, operation),
            };
            parameters::add(operation, path, shape);
            responses::describe(operation, shape);
            errors::add(operation, shape);
            require_body(components, operation);
            nullable::add(components, operation);
            security::add(operation);
        }
    }
    parameters::add_components(components);
    errors::add_components(components);
    security::add_components(components);
    document
}

/// Adds `Alias` to the ids of operations at alias paths, so that they differ from the original operations.
pub fn name_aliases(document: &mut OpenApi, is_alias: impl Fn(&str) -> bool) {
    for (_, item) in document.paths.paths.iter_mut().filter(|(path, _)| is_alias(path)) {
        for id in operations(item).filter_map(|(_, operation)| operation.operation_id.as_mut()) {
            id.push_str("Alias");
        }
    }
}

pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("PATCH", &mut item.patch),
        ("DELETE", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn require_body(components: &Components, operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    if let Some(RefOr::T(Content { schema: Some(schema), .. })) = body.content.values().next() {
        let is_required = requires_a_field(components, schema);
        body.required = Some(if is_required { Required::True } else { Required::False });
    }
}

/// Returns true if the body requires a field. Otherwise it may be omitted, because an empty body counts as an empty
/// object.
fn requires_a_field(components: &Components, schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::Ref(_) => {
            resolved(components, schema).is_none_or(|schema| requires_a_field(components, schema))
        }
        RefOr::T(Schema::Object(object)) => !object.required.is_empty(),
        RefOr::T(_) => true,
    }
}

/// Resolves a reference to a schema component.
fn resolved<'a>(components: &'a Components, schema: &'a RefOr<Schema>) -> Option<&'a RefOr<Schema>> {
    match schema {
        RefOr::Ref(at) => components.schemas.get(at.ref_location.rsplit('/').next()?),
        RefOr::T(_) => Some(schema),
    }
}
