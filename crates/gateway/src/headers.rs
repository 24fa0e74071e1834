//! Which headers cross the gateway, and which are made here.

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

/// What is said between two neighbours and goes no further, besides what `Connection` names.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION | header::TE | header::TRAILER | header::TRANSFER_ENCODING | header::UPGRADE
    ) || name == "keep-alive"
        || name.as_str().starts_with("proxy-")
}

/// What a client may not say of itself, and what is said anew about the message that is sent on.
fn is_ours_to_say(name: &HeaderName) -> bool {
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
    let mut kept = headers.clone();
    kept.retain(|name, _| !is_hop_by_hop(name) && !named.contains(name.as_str()));
    kept
}

/// The headers with which a service gets a request: the client's, and what the gateway knows of it.
///
/// # Errors
/// [`domain::Kind::Internal`] when a value of ours cannot stand in a header.
pub(crate) fn to_upstream(
    request: &HttpRequest,
    origin: Origin,
    token: &str,
    request_id: &str,
) -> Result<HeaderMap> {
    let mut headers = end_to_end(request.headers());
    headers.retain(|name, _| !is_ours_to_say(name));
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
    // Without tracing the client's own stays in its place.
    if let Some(parent) = telemetry::traceparent() {
        headers.insert(TRACEPARENT, value(&parent)?);
    }
    Ok(headers)
}

/// The headers with which a client gets a service's answer.
pub(crate) fn from_upstream(headers: &HeaderMap) -> HeaderMap {
    let mut headers = end_to_end(headers);
    headers.retain(|name, _| {
        !matches!(*name, header::CONTENT_LENGTH | header::SERVER) && !cors::is_ours_to_say(name)
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
    fn what_is_between_neighbours_stays_there() {
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
        let kept = end_to_end(request.headers());
        assert_eq!(names(&kept), ["accept"]);
        assert_eq!(kept.get_all("accept").count(), 2, "every value of a header is kept");
    }

    #[test]
    fn a_client_does_not_say_who_it_is_or_where_it_comes_from() {
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
