//! The errors of operations. Each status is a response component, to which the operations refer.

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

/// The envelope of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    error: ErrorBody,
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    /// Machine-readable code. Each code has a page in the documentation.
    code: String,
    /// Human-readable message. It may change between versions.
    message: String,
    /// The id of the request, as in `X-Request-Id`.
    request_id: String,
    /// Details that depend on the code; its page in the documentation describes them.
    #[schema(value_type = Object)]
    details: Value,
}

/// The statuses that every operation may return.
const ALL: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];
/// The statuses of writes, which may conflict with another write or with a repetition.
const WRITE: &[StatusCode] = &[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY];
const BODY: &[StatusCode] =
    &[StatusCode::REQUEST_TIMEOUT, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNSUPPORTED_MEDIA_TYPE];

/// Returns the name of a status's response component, such as `NotFound`.
#[must_use]
pub fn response_name(status: StatusCode) -> String {
    let words = status.canonical_reason().unwrap_or("Error");
    words.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Returns the response of a status: the envelope, described by its possible codes.
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

/// Adds the error statuses that an operation of this shape may return.
pub(super) fn add(operation: &mut Operation, shape: Shape) {
    let groups = [
        (true, ALL),
        (shape.may_be_missing, &[StatusCode::NOT_FOUND]),
        (shape.is_write, WRITE),
        (shape.has_body, BODY),
        (shape.takes_if_match, &[StatusCode::PRECONDITION_FAILED]),
    ];
    let responses = &mut operation.responses.responses;
    for status in groups.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, group)| group) {
        let reference = Ref::from_response_name(response_name(*status));
        responses.insert(status.as_str().to_owned(), RefOr::Ref(reference));
    }
    let other = envelope("Any other error, in the same envelope.".to_owned());
    responses.insert("default".to_owned(), RefOr::T(other));
}

/// Adds the components that [`add`] refers to.
pub(super) fn add_components(components: &mut Components) {
    let statuses = [ALL, WRITE, BODY, &[StatusCode::NOT_FOUND, StatusCode::PRECONDITION_FAILED]];
    for status in statuses.into_iter().flatten() {
        components.responses.insert(response_name(*status), RefOr::T(error_response(*status)));
    }
    components.schemas.insert(ErrorEnvelope::name().into_owned(), ErrorEnvelope::schema());
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
}
