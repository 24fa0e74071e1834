//! Answers that the contract keeps short, and lists.

use actix_web::http::{StatusCode, header};
use domain::Error;
use identity::{Done, etag};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{HttpResult, WriteResponse};

/// The id of what was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    pub(crate) id: Uuid,
}

/// It was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    ok: bool,
}

impl Changed {
    /// It was done.
    pub(crate) const YES: Self = Self { ok: true };
}

/// A whole list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    data: Vec<T>,
    /// How many things the list has.
    total: usize,
}

impl<T> From<Vec<T>> for Listed<T> {
    fn from(data: Vec<T>) -> Self {
        Self { total: data.len(), data }
    }
}

/// Answers a write with `body` and the ETag of the thing that it left, so that the next write can name it in
/// `If-Match` without a read in between.
///
/// # Errors
/// When either cannot be written as JSON.
pub(crate) fn told<T: Serialize, B: Serialize>(
    done: Done<T>,
    status: StatusCode,
    body: impl FnOnce(&T) -> B,
) -> HttpResult {
    let tag = header::HeaderValue::try_from(etag::of(&done.value)?).map_err(Error::internal)?;
    let mut answer = done.map(|thing| body(&thing)).with_etag(status)?;
    answer.headers_mut().insert(header::ETAG, tag);
    Ok(answer)
}
