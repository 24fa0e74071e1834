//! Responses to malformed requests, which never reach the HTTP server.

use std::fmt::Write;

use actix_web::{
    body::MessageBody,
    http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue},
    web::BytesMut,
};
use domain::{Error, id};
use runtime::{clock, error::log};

use crate::security_headers::harden;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Logs an error and returns its response as bytes. The connection ends after it.
pub(super) fn rejection(error: &Error) -> BytesMut {
    let id = id::uuid_v7().to_string();
    tracing::info_span!("http", request_id = id).in_scope(|| log(error));
    let mut response = web::error::response(error, &id);
    harden(response.headers_mut(), false);
    let (response, body) = response.into_parts();
    let body = body.try_into_bytes().unwrap_or_default();
    let mut fields = response.headers().clone();
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let date = clock::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (name, text) in [(X_REQUEST_ID, &id), (DATE, &date)] {
        if let Ok(value) = HeaderValue::from_str(text) {
            fields.insert(name, value);
        }
    }
    let mut bytes = BytesMut::new();
    // Writing to memory cannot fail.
    let _ = write!(bytes, "HTTP/1.1 {}\r\n", response.status());
    for (name, value) in &fields {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}
