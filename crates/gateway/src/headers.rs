//! The headers that the gateway forwards, removes and sets.

use std::collections::HashSet;

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
};
use domain::{Error, Result};
use runtime::telemetry;

use crate::{cors, limits::Origin};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns true for hop-by-hop headers. Those that `Connection` lists are hop-by-hop too.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION | header::TE | header::TRAILER | header::TRANSFER_ENCODING | header::UPGRADE
    ) || name == "keep-alive"
        || name.as_str().starts_with("proxy-")
}

/// Returns true for headers that a client may not set, and those that the gateway sets for the forwarded message.
fn is_set_by_gateway(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::AUTHORIZATION | header::CONTENT_LENGTH | header::EXPECT | header::FORWARDED | header::HOST
    ) || name == "x-real-ip"
        || name.as_str().starts_with("x-forwarded-")
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: HashSet<String> = headers
        .get_all(header::CONNECTION)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut forwarded = headers.clone();
    forwarded.retain(|name, _| !is_hop_by_hop(name) && !named.contains(name.as_str()));
    forwarded
}

/// Returns the headers of a request to a service: the client's headers and those that the gateway sets.
///
/// # Errors
/// [`domain::Kind::Internal`] when a value cannot be sent in a header.
pub(crate) fn to_upstream(
    request: &HttpRequest,
    origin: Origin,
    token: &str,
    request_id: &str,
) -> Result<HeaderMap> {
    let mut headers = end_to_end(request.headers());
    headers.retain(|name, _| !is_set_by_gateway(name));
    let value = |text: &str| HeaderValue::from_str(text).map_err(Error::internal);
    headers.insert(header::AUTHORIZATION, value(&format!("Bearer {token}"))?);
    headers.insert(X_REQUEST_ID, value(request_id)?);
    let scheme = if origin.is_https { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Some(ip) = origin.ip {
        headers.insert(X_FORWARDED_FOR, value(&ip.to_string())?);
    }
    if let Some(host) = request.headers().get(header::HOST) {
        headers.insert(X_FORWARDED_HOST, host.clone());
    }
    // Without tracing, the client's own traceparent is forwarded.
    if let Some(parent) = telemetry::traceparent() {
        headers.insert(TRACEPARENT, value(&parent)?);
    }
    Ok(headers)
}

/// Returns the headers of a service's response to the client.
pub(crate) fn from_upstream(headers: &HeaderMap) -> HeaderMap {
    let mut headers = end_to_end(headers);
    headers.retain(|name, _| {
        !matches!(*name, header::CONTENT_LENGTH | header::SERVER) && !cors::is_set_by_gateway(name)
    });
    headers
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_headers_are_removed() {
        let request = TestRequest::default()
            .append_header(("Connection", "keep-alive, X-Hop"))
            .append_header(("Connection", "x-other-hop"))
            .append_header(("X-Hop", "1"))
            .append_header(("X-Other-Hop", "1"))
            .append_header(("Keep-Alive", "timeout=5"))
            .append_header(("TE", "trailers"))
            .append_header(("Trailer", "x"))
            .append_header(("Upgrade", "h2c"))
            .append_header(("Proxy-Authorization", "x"))
            .append_header(("Proxy-Connection", "x"))
            .append_header(("Accept", "a"))
            .append_header(("Accept", "b"))
            .to_http_request();
        let forwarded = end_to_end(request.headers());
        assert_eq!(names(&forwarded), ["accept"]);
        assert_eq!(forwarded.get_all("accept").count(), 2, "every value of a header is forwarded");
    }

    #[test]
    fn client_cannot_set_its_identity_or_origin() {
        let origin = Origin { ip: "192.0.2.7".parse().ok(), is_https: false };
        let request = TestRequest::default()
            .append_header(("Host", "api.example.com"))
            .append_header(("Authorization", "Bearer theirs"))
            .append_header(("X-Request-Id", "not sane\""))
            .append_header(("X-Request-Id", "second"))
            .append_header(("Forwarded", "for=10.0.0.1"))
            .append_header(("X-Forwarded-For", "10.0.0.1"))
            .append_header(("X-Forwarded-Proto", "https"))
            .append_header(("X-Forwarded-Port", "443"))
            .append_header(("X-Real-IP", "10.0.0.1"))
            .append_header(("Expect", "100-continue"))
            .append_header(("Content-Length", "3"))
            .append_header(("Idempotency-Key", "k"))
            .to_http_request();
        let headers = to_upstream(&request, origin, "ours", "id-1").unwrap();
        let all: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        for expected in [
            ("authorization", "Bearer ours"),
            ("idempotency-key", "k"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "api.example.com"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "id-1"),
        ] {
            assert!(all.contains(&expected), "{expected:?} in {all:?}");
        }
        assert_eq!(all.len(), 6, "{all:?}");
    }
}
