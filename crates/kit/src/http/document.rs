//! The OpenAPI document of a service: what its handlers say, and what is true of all of them.

use actix_web::App;
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
    },
};
use utoipa_actix_web::AppExt;

use super::Routes;

/// Every error, whatever its status.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    /// Machine-readable code; each has a page in the documentation.
    code: String,
    message: String,
    request_id: String,
    /// What the code's page says of it.
    #[schema(value_type = Object)]
    details: Value,
}

/// The document of the routes.
pub fn document(routes: Routes, base: OpenApi) -> OpenApi {
    let mut document = App::new().into_utoipa_app().openapi(base).configure(routes).split_for_parts().1;
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            add_path_parameters(path, operation);
            add_errors(operation);
        }
    }
    let components = document.components.get_or_insert_default();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
        if let Some(RefOr::T(Content { schema: Some(schema), .. })) = body.content.values().next() {
            body.required =
                Some(if needs_a_field(components, schema) { Required::True } else { Required::False });
        }
    }
    components.schemas.insert(ErrorEnvelope::name().into_owned(), ErrorEnvelope::schema());
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn add_path_parameters(path: &str, operation: &mut Operation) {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    // Those of a tuple are found by the attribute of the handler already.
    let told: Vec<RefOr<Parameter>> = operation.parameters.take().into_iter().flatten().collect();
    let is_told = |name: &str| told.iter().any(|one| matches!(one, RefOr::T(one) if one.name == name));
    let mut parameters: Vec<_> = names
        .filter(|name| !is_told(name))
        .map(|name| {
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
            RefOr::T(parameter.required(Required::True).schema(Some(String::schema())).build())
        })
        .collect();
    parameters.extend(told);
    operation.parameters = Some(parameters);
}

/// An empty body is the empty object, so a body may be left out when no field of it is required.
fn needs_a_field(components: &Components, schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::Ref(at) => {
            let name = at.ref_location.rsplit('/').next().unwrap_or_default();
            components.schemas.get(name).is_none_or(|schema| needs_a_field(components, schema))
        }
        RefOr::T(Schema::Object(object)) => !object.required.is_empty(),
        RefOr::T(_) => true,
    }
}

fn add_errors(operation: &mut Operation) {
    let schema = RefOr::Ref(Ref::from_schema_name(ErrorEnvelope::name()));
    let response = ResponseBuilder::new()
        .description("Any error, in the envelope")
        .content("application/json", Content::new(Some(schema)))
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
}
