//! Answers: of reads, of writes, of lists, of errors.

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

/// What a handler gives.
pub type HttpResult<T = HttpResponse> = Result<T, HttpError>;

/// An error on its way out of a handler; the entry writes it as the envelope.
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

/// The answer of a read of one thing: its body with its ETag, or 304 when the client has it.
///
/// # Errors
/// When the thing cannot be written as JSON.
pub fn read(request: &HttpRequest, thing: &impl Serialize) -> HttpResult {
    let body = serde_json::to_vec(thing).map_err(Error::internal)?;
    let tag = etag::of_bytes(&body);
    let seen = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if seen.is_some_and(|seen| etag::lists(seen, &tag)) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish());
    }
    Ok(HttpResponse::Ok().insert_header((header::ETAG, tag)).content_type("application/json").body(body))
}

/// Answers of writes.
pub trait Answer {
    /// 200 with the thing as it is now.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn ok(&self) -> HttpResult {
        self.with(StatusCode::OK)
    }

    /// 201 with the thing that was made.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn created(&self) -> HttpResult {
        self.with(StatusCode::CREATED)
    }

    /// Any status with the thing and its ETag.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn with(&self, status: StatusCode) -> HttpResult;

    /// Any status with an answer that is not the thing itself, and so has no ETag: the tag of what was said would
    /// match nothing.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    fn told(&self, status: StatusCode) -> HttpResult;

    /// 204: it is gone, or done, and there is nothing to show.
    fn no_content(&self) -> HttpResponse;
}

impl<T: Serialize> Answer for Done<T> {
    fn with(&self, status: StatusCode) -> HttpResult {
        let body = serde_json::to_vec(&self.value).map_err(Error::internal)?;
        let mut answer = marked(self, status);
        answer.insert_header((header::ETAG, etag::of_bytes(&body)));
        Ok(answer.content_type("application/json").body(body))
    }

    fn told(&self, status: StatusCode) -> HttpResult {
        Ok(marked(self, status).json(&self.value))
    }

    fn no_content(&self) -> HttpResponse {
        marked(self, StatusCode::NO_CONTENT).finish()
    }
}

fn marked<T>(done: &Done<T>, status: StatusCode) -> HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    if done.replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    if done.dry_run {
        answer.insert_header(("Dry-Run", "true"));
    }
    answer
}

/// `{"success":true}`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Success {
    success: bool,
}

impl Success {
    /// It was done.
    pub const YES: Self = Self { success: true };
}

/// The list envelope of most lists.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paged<T> {
    /// Newest first.
    pub data: Vec<T>,
    pub pagination: Pagination,
}

/// Where the page stands in its list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pagination {
    pub has_more: bool,
    #[schema(required)]
    pub next_cursor: Option<String>,
    /// How many things the whole list has.
    pub total: i64,
    /// True where more than 10,000 things pass a filter, and `total` is an estimate.
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
