//! Answers that are not the thing itself.

use actix_web::http::{StatusCode, header};
use domain::Error;
use identity::{Done, etag};
use serde::Serialize;
use web::{HttpResult, WriteResponse};

/// Answers that a thing was made with `body` and the ETag of the thing, so that the next write can name it in
/// `If-Match`.
///
/// # Errors
/// When either cannot be written as JSON.
pub(crate) fn made<T: Serialize, B: Serialize>(done: Done<T>, body: impl FnOnce(T) -> B) -> HttpResult {
    let tag = header::HeaderValue::try_from(etag::of(&done.value)?).map_err(Error::internal)?;
    let mut answer = done.map(body).without_etag(StatusCode::CREATED)?;
    answer.headers_mut().insert(header::ETAG, tag);
    Ok(answer)
}
