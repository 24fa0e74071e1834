//! Responses of reads, writes and lists, and of handlers that fail.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use domain::{Error, Page, Total};
use identity::{Done, etag};
use serde::Serialize;
use utoipa::ToSchema;

use super::error;

/// The result of a handler.
pub type HttpResult<T = HttpResponse> = Result<T, HttpError>;

/// An error of a handler. The entry middleware turns it into the error envelope.
#[derive(Debug)]
pub struct HttpError(pub Error);

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.message())
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        error::status(self.0.kind())
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        error::response(&self.0, "")
    }
}

/// Responds to a read of one object: its body with its ETag, or 304 if the client has the current state.
///
/// # Errors
/// When the object cannot be serialized.
pub fn read(request: &HttpRequest, object: &impl Serialize) -> HttpResult {
    let body = serde_json::to_vec(object).map_err(Error::internal)?;
    let tag = etag::of_bytes(&body);
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| etag::matches(known, &tag)) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((header::ETAG, tag)).content_type("application/json").body(body))
}

/// Responses to writes.
pub trait WriteResponse {
    /// 200 with the current state of the object and its ETag.
    ///
    /// # Errors
    /// When the object cannot be serialized.
    fn ok(&self) -> HttpResult {
        self.with_etag(StatusCode::OK)
    }

    /// 201 with the created object and its ETag.
    ///
    /// # Errors
    /// When the object cannot be serialized.
    fn created(&self) -> HttpResult {
        self.with_etag(StatusCode::CREATED)
    }

    /// Any status with the object and its ETag.
    ///
    /// # Errors
    /// When the object cannot be serialized.
    fn with_etag(&self, status: StatusCode) -> HttpResult;

    /// Any status with a body that is not the object itself. It has no ETag, because the tag of such a body would never
    /// match the object.
    ///
    /// # Errors
    /// When the body cannot be serialized.
    fn without_etag(&self, status: StatusCode) -> HttpResult;

    /// 204 without a body.
    fn no_content(&self) -> HttpResponse;
}

impl<T: Serialize> WriteResponse for Done<T> {
    fn with_etag(&self, status: StatusCode) -> HttpResult {
        let body = serde_json::to_vec(&self.value).map_err(Error::internal)?;
        let mut response = marked(self, status);
        response.insert_header((header::ETAG, etag::of_bytes(&body)));
        Ok(response.content_type("application/json").body(body))
    }

    fn without_etag(&self, status: StatusCode) -> HttpResult {
        Ok(marked(self, status).json(&self.value))
    }

    fn no_content(&self) -> HttpResponse {
        marked(self, StatusCode::NO_CONTENT).finish()
    }
}

/// Starts a response with the headers that mark a replay or a dry run.
fn marked<T>(done: &Done<T>, status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    if done.replayed {
        response.insert_header(("Idempotent-Replayed", "true"));
    }
    if done.dry_run {
        response.insert_header(("Dry-Run", "true"));
    }
    response
}

/// `{"success":true}`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Success {
    success: bool,
}

impl Success {
    /// The only value.
    pub const YES: Self = Self { success: true };
}

/// The list envelope of most lists.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paged<T> {
    /// Newest first.
    pub data: Vec<T>,
    pub pagination: Pagination,
}

/// The position of a page in its list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    pub has_more: bool,
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// Number of objects in the whole list.
    pub total: i64,
    /// True if more than 10,000 objects match the filter, so that `total` is an estimate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub total_is_estimate: bool,
}

impl<T> From<Page<T>> for Paged<T> {
    fn from(page: Page<T>) -> Self {
        let (total, total_is_estimate) = match page.total {
            Total::Exact(total) => (total, false),
            Total::Estimate(total) => (total, true),
        };
        let has_more = page.next.is_some();
        let pagination = Pagination { has_more, next_cursor: page.next, total, total_is_estimate };
        Self { data: page.items, pagination }
    }
}
