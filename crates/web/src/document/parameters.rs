//! Parameters that handlers do not tell of: those of the path, and those that many operations have.

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

/// Adds the parameters of the path and of the shape.
pub(super) fn add(operation: &mut Operation, path: &str, shape: Shape) {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    // Those of a tuple are found by the attribute of the handler already; the braces of a pattern look like one.
    let is_there = |one: &RefOr<Parameter>| match one {
        RefOr::T(one) => one.parameter_in != ParameterIn::Path || names.clone().any(|name| name == one.name),
        RefOr::Ref(_) => true,
    };
    let told = operation.parameters.take().into_iter().flatten();
    let told: Vec<RefOr<Parameter>> = told.filter(is_there).map(describe_uuid).collect();
    let is_told = |name: &str| told.iter().any(|one| matches!(one, RefOr::T(one) if one.name == name));
    let mut parameters: Vec<_> = names
        .clone()
        .filter(|name| !is_told(name))
        .map(|name| {
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
            RefOr::T(parameter.required(Required::True).schema(Some(String::schema())).build())
        })
        .collect();
    parameters.extend(told);
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

/// Describes a UUID where it stands: the components of the document have no schema of ids that are UUIDs.
fn describe_uuid(mut parameter: RefOr<Parameter>) -> RefOr<Parameter> {
    if let RefOr::T(Parameter { schema: Some(schema), .. }) = &mut parameter
        && matches!(schema, RefOr::Ref(at) if at.ref_location.rsplit('/').next() == Some(UUID_SCHEMA))
    {
        *schema = uuid_schema();
    }
    parameter
}

/// Adds what [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let text = |longest: Option<usize>| {
        let shortest = longest.map(|_| 1);
        let schema = ObjectBuilder::new().schema_type(Type::String).min_length(shortest).max_length(longest);
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
        .description(Some("`true` runs the write with all its checks, and keeps nothing of it."))
        .schema(Some(bool::schema()))
        .build();
    let all = [
        (DRY_RUN, dry_run),
        (
            IDEMPOTENCY_KEY,
            header(
                "Idempotency-Key",
                text(Some(Idempotency::MAX_KEY)),
                "The same request with the same key is done once: printable ASCII, kept for 24 hours.",
            ),
        ),
        (IF_MATCH, header("If-Match", text(None), "ETag of a read: 412 when the thing has changed since.")),
        (
            IF_NONE_MATCH,
            header("If-None-Match", text(None), "ETag of a read: 304 when the thing is still the same."),
        ),
        (
            REQUEST_ID,
            header("X-Request-Id", text(None), "Names the request in answers, logs and the audit log."),
        ),
    ];
    for (name, parameter) in all {
        components.parameters.insert(name.to_owned(), RefOr::T(parameter));
    }
}
