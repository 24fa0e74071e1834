//! Checks on the head of a request.

use actix_web::{HttpRequest, http::header};
use domain::{Error, Kind, Result};

/// Maximum number of headers. It is more than clients need, and together with the gateway's own headers less than the
/// services can read.
const MAX_HEADERS: usize = 64;

/// The limits on the head of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimits {
    pub(crate) max_uri_bytes: usize,
    pub(crate) max_header_bytes: usize,
}

/// Rejects a head beyond the limits.
///
/// # Errors
/// [`Kind::UriTooLong`] or [`Kind::HeadersTooLarge`].
pub(crate) fn reject_oversized(request: &HttpRequest, limits: HeadLimits) -> Result<()> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > limits.max_uri_bytes {
        let message = format!("The path and query are longer than {} bytes.", limits.max_uri_bytes);
        return Err(Error::new(Kind::UriTooLong, message).with("maxBytes", limits.max_uri_bytes));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.max_header_bytes || headers.len() > MAX_HEADERS {
        let message = format!(
            "The request has more than {MAX_HEADERS} headers, or more than {} bytes of headers.",
            limits.max_header_bytes
        );
        return Err(Error::new(Kind::HeadersTooLarge, message)
            .with("maxHeaders", MAX_HEADERS)
            .with("maxBytes", limits.max_header_bytes));
    }
    Ok(())
}

/// Rejects a body with a content encoding: neither the gateway nor a service decodes one.
///
/// # Errors
/// [`Kind::UnsupportedMediaType`].
pub(crate) fn reject_encoded(request: &HttpRequest) -> Result<()> {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_plain = |value: &header::HeaderValue| {
        value
            .to_str()
            .is_ok_and(|list| list.split(',').all(|one| one.trim().eq_ignore_ascii_case("identity")))
    };
    if encodings.all(is_plain) {
        return Ok(());
    }
    let message = "The body has a Content-Encoding. Send it without one.";
    Err(Error::new(Kind::UnsupportedMediaType, message))
}
