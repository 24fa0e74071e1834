//! The OpenAPI document of a service: what its handlers say, and what is true of all of them.

mod answers;
mod errors;
mod nullable;
mod parameters;
mod security;

use actix_web::App;
use utoipa::openapi::{Components, Content, OpenApi, PathItem, RefOr, Required, Schema, path::Operation};
use utoipa_actix_web::AppExt;

use super::Routes;

pub(super) use security::declared_access;

pub use errors::{ErrorEnvelope, error_response, response_name};

/// What follows from the form of an operation.
#[derive(Debug, Clone, Copy)]
struct Shape {
    is_write: bool,
    has_body: bool,
    /// It is about something that may not be there.
    of_a_thing: bool,
    /// It changes something that can have been read before.
    takes_if_match: bool,
    /// It answers one thing, and knows whether the client has it.
    has_etag: bool,
}

/// The document of the routes.
pub fn document(routes: Routes, base: OpenApi) -> OpenApi {
    let mut document = App::new().into_utoipa_app().openapi(base).configure(routes).split_for_parts().1;
    let components = document.components.get_or_insert_default();
    for (path, item) in &mut document.paths.paths {
        let is_list = item.get.is_some();
        for (method, operation) in operations(item) {
            let is_write = method != "GET";
            let of_a_thing = path.contains('{') || operation.responses.responses.contains_key("404");
            let shape = Shape {
                is_write,
                has_body: operation.request_body.is_some(),
                of_a_thing,
                // What is posted to a list is new.
                takes_if_match: is_write && of_a_thing && !(method == "POST" && is_list),
                has_etag: !is_write && !answers::is_list(components, operation),
            };
            parameters::add(operation, path, shape);
            answers::describe(operation, shape);
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

/// Names the operations at paths that are aliases after those that they are aliases of.
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
        let needed = needs_a_field(components, schema);
        body.required = Some(if needed { Required::True } else { Required::False });
    }
}

/// An empty body is the empty object, so a body may be left out when no field of it is required.
fn needs_a_field(components: &Components, schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::Ref(_) => resolved(components, schema).is_none_or(|schema| needs_a_field(components, schema)),
        RefOr::T(Schema::Object(object)) => !object.required.is_empty(),
        RefOr::T(_) => true,
    }
}

/// What a reference among the schemas leads to.
fn resolved<'a>(components: &'a Components, schema: &'a RefOr<Schema>) -> Option<&'a RefOr<Schema>> {
    match schema {
        RefOr::Ref(at) => components.schemas.get(at.ref_location.rsplit('/').next()?),
        RefOr::T(_) => Some(schema),
    }
}
