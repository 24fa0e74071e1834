//! Short responses of the contract, and lists.

use actix_web::http::{StatusCode, header};
use domain::Error;
use identity::{Done, etag};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{HttpResult, WriteResponse};

/// Id of the created object.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Created {
    pub(crate) id: Uuid,
}

/// Confirmation of a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Acknowledged {
    ok: bool,
}

impl Acknowledged {
    /// The confirmation.
    pub(crate) const OK: Self = Self { ok: true };
}

/// Complete list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    data: Vec<T>,
    /// Number of items.
    total: usize,
}

impl<T> From<Vec<T>> for List<T> {
    fn from(data: Vec<T>) -> Self {
        Self { total: data.len(), data }
    }
}

/// The response to a write with `body` and the ETag of the written object. The next write can send the ETag in
/// `If-Match` without a read before.
///
/// # Errors
/// [`domain::Kind::Internal`] if the object or the body cannot be written as JSON.
pub(crate) fn respond<T: Serialize, B: Serialize>(
    done: Done<T>,
    status: StatusCode,
    body: impl FnOnce(&T) -> B,
) -> HttpResult {
    let tag = header::HeaderValue::try_from(etag::of(&done.value)?).map_err(Error::internal)?;
    let mut response = done.map(|object| body(&object)).with_etag(status)?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}
