//! Parameters that handlers do not declare: those of the path, and those that many operations have in common.

use domain::id::{UUID_SCHEMA, uuid_schema};
use identity::Idempotency;
use utoipa::{
    PartialSchema,
    openapi::{
        Components, ObjectBuilder, Ref, RefOr, Required, Schema, Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::Shape;

const REQUEST_ID: &str = "RequestId";
const DRY_RUN: &str = "DryRun";
const IDEMPOTENCY_KEY: &str = "IdempotencyKey";
const IF_MATCH: &str = "IfMatch";
const IF_NONE_MATCH: &str = "IfNoneMatch";

/// Adds the path parameters, and the common parameters of the operation's shape.
pub(super) fn add(operation: &mut Operation, path: &str, shape: Shape) {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    // utoipa finds the parameters of a tuple by itself, and mistakes the braces of a pattern for another one.
    let exists = |one: &RefOr<Parameter>| match one {
        RefOr::T(one) => one.parameter_in != ParameterIn::Path || names.clone().any(|name| name == one.name),
        RefOr::Ref(_) => true,
    };
    let declared = operation.parameters.take().into_iter().flatten();
    let declared: Vec<RefOr<Parameter>> = declared.filter(exists).map(describe_uuid).collect();
    let is_declared =
        |name: &str| declared.iter().any(|one| matches!(one, RefOr::T(one) if one.name == name));
    let mut parameters: Vec<_> = names
        .clone()
        .filter(|name| !is_declared(name))
        .map(|name| {
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
            RefOr::T(parameter.required(Required::True).schema(Some(String::schema())).build())
        })
        .collect();
    parameters.extend(declared);
    let common = [
        (shape.is_write, DRY_RUN),
        (shape.is_write, IDEMPOTENCY_KEY),
        (shape.takes_if_match, IF_MATCH),
        (shape.has_etag, IF_NONE_MATCH),
        (true, REQUEST_ID),
    ];
    let common = common.into_iter().filter(|(applies, _)| *applies);
    parameters
        .extend(common.map(|(_, name)| RefOr::Ref(Ref::new(format!("#/components/parameters/{name}")))));
    operation.parameters = Some(parameters);
}

/// Replaces a reference to the schema of UUIDs by the schema itself, because it is not among the document's components.
fn describe_uuid(mut parameter: RefOr<Parameter>) -> RefOr<Parameter> {
    if let RefOr::T(Parameter { schema: Some(schema), .. }) = &mut parameter
        && matches!(schema, RefOr::Ref(at) if at.ref_location.rsplit('/').next() == Some(UUID_SCHEMA))
    {
        *schema = uuid_schema();
    }
    parameter
}

/// Adds the components that [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let text = |max_length: Option<usize>| {
        let min_length = max_length.map(|_| 1);
        let schema =
            ObjectBuilder::new().schema_type(Type::String).min_length(min_length).max_length(max_length);
        RefOr::T(Schema::Object(schema.build()))
    };
    let header = |name: &str, schema, description: &str| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema))
            .build()
    };
    let dry_run = ParameterBuilder::new()
        .name("dryRun")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("`true` runs the write with all its checks and stores nothing."))
        .schema(Some(bool::schema()))
        .build();
    let all = [
        (DRY_RUN, dry_run),
        (
            IDEMPOTENCY_KEY,
            header(
                "Idempotency-Key",
                text(Some(Idempotency::MAX_KEY)),
                "Printable ASCII. A repeated request with the same key takes effect once. Keys are kept for 24 hours.",
            ),
        ),
        (
            IF_MATCH,
            header(
                "If-Match",
                text(None),
                "ETag of a read. If the object has changed since, the response is 412.",
            ),
        ),
        (
            IF_NONE_MATCH,
            header(
                "If-None-Match",
                text(None),
                "ETag of a read. If the object has not changed, the response is 304.",
            ),
        ),
        (
            REQUEST_ID,
            header(
                "X-Request-Id",
                text(None),
                "Identifies the request in responses, logs and the audit log.",
            ),
        ),
    ];
    for (name, parameter) in all {
        components.parameters.insert(name.to_owned(), RefOr::T(parameter));
    }
}
