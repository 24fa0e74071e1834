//! The errors of operations: each status a response of its own that operations refer to.

use actix_web::http::StatusCode;
use domain::Kind;
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Components, Content, Ref, RefOr, Response, ResponseBuilder, path::Operation},
};

use super::Shape;
use crate::error;

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

/// What any request may end in, beside what its shape brings with it.
const ALL: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];
/// A write may meet another, or a repetition of itself.
const WRITE: &[StatusCode] = &[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY];
const BODY: &[StatusCode] =
    &[StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNSUPPORTED_MEDIA_TYPE];

/// What the response of a status is called among the components: `NotFound`.
#[must_use]
pub fn response_name(status: StatusCode) -> String {
    let words = status.canonical_reason().unwrap_or("Error");
    words.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The response of a status: the envelope, with the codes that it may have.
#[must_use]
pub fn error_response(status: StatusCode) -> Response {
    let kinds = Kind::ALL.iter().filter(|kind| error::status(**kind) == status);
    let codes: Vec<String> = kinds.map(|kind| format!("`{}`", kind.as_str())).collect();
    let reason = status.canonical_reason().unwrap_or("Error");
    envelope(format!("{reason}: {}", codes.join(", ")))
}

fn envelope(description: String) -> Response {
    let schema = RefOr::Ref(Ref::from_schema_name(ErrorEnvelope::name()));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(schema)))
        .build()
}

/// Adds the statuses that an operation of this shape may end in.
pub(super) fn add(operation: &mut Operation, shape: Shape) {
    let groups = [
        (true, ALL),
        (shape.of_a_thing, &[StatusCode::NOT_FOUND]),
        (shape.is_write, WRITE),
        (shape.has_body, BODY),
        (shape.takes_if_match, &[StatusCode::PRECONDITION_FAILED]),
    ];
    let responses = &mut operation.responses.responses;
    for status in groups.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, group)| group) {
        let told = Ref::from_response_name(response_name(*status));
        responses.insert(status.as_str().to_owned(), RefOr::Ref(told));
    }
    let other = envelope("Any other error, in the envelope".to_owned());
    responses.insert("default".to_owned(), RefOr::T(other));
}

/// Adds what [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let statuses = [ALL, WRITE, BODY, &[StatusCode::NOT_FOUND, StatusCode::PRECONDITION_FAILED]];
    for status in statuses.into_iter().flatten() {
        components.responses.insert(response_name(*status), RefOr::T(error_response(*status)));
    }
    components.schemas.insert(ErrorEnvelope::name().into_owned(), ErrorEnvelope::schema());
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
}
