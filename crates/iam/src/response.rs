//! Responses whose body differs from the created object.

use actix_web::http::{StatusCode, header};
use domain::Error;
use identity::{Done, etag};
use serde::Serialize;
use web::{HttpResult, WriteResponse};

/// The response 201 with `body` and the ETag of the created object, which the next write can send in `If-Match`.
///
/// # Errors
/// [`domain::Kind::Internal`] if the object or the body cannot be written as JSON.
pub(crate) fn created<T: Serialize, B: Serialize>(done: Done<T>, body: impl FnOnce(T) -> B) -> HttpResult {
    let tag = header::HeaderValue::try_from(etag::of(&done.value)?).map_err(Error::internal)?;
    let mut response = done.map(body).without_etag(StatusCode::CREATED)?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}
