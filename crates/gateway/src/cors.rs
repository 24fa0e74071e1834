//! Cross-origin resource sharing: the origins whose pages may read responses.
//!
//! Credentials are sent in a header and never as a cookie. Therefore no response allows credentials, and an origin that
//! is not on the list gets no CORS headers at all.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::string_list::StringList;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, traceparent";
const EXPOSED_HEADERS: &str = "X-Request-Id, ETag, Location, Allow, RateLimit, RateLimit-Policy, Retry-After, \
                              Idempotent-Replayed, Dry-Run";

/// The settings of cross-origin requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Allowed origins, exactly as browsers send them.
    pub origins: StringList,
    /// Time for which a browser may cache the response to a preflight request.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub max_age: Duration,
}

/// The policy for cross-origin requests.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    /// Reads the settings.
    ///
    /// # Errors
    /// When an entry is not an origin.
    pub(crate) fn new(settings: &CorsSettings) -> Result<Self> {
        let read = |origin: &String| {
            let invalid =
                || format!("service.cors.origins: '{origin}' must have the form https://app.example.com");
            let url = Url::parse(origin).with_context(invalid)?;
            let is_exact = !origin.contains('*')
                && url.origin().is_tuple()
                && url.origin().ascii_serialization() == *origin;
            ensure!(is_exact && matches!(url.scheme(), "http" | "https"), invalid());
            HeaderValue::from_str(origin).with_context(invalid)
        };
        Ok(Self {
            origins: settings.origins.0.iter().map(read).collect::<Result<_>>()?,
            max_age: HeaderValue::from(settings.max_age.as_secs()),
        })
    }

    /// Returns the origin of a request if it is allowed: the value from the list, not the one from the request.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let mut origins = headers.get_all(header::ORIGIN);
        let (Some(origin), None) = (origins.next(), origins.next()) else { return None };
        self.origins.iter().find(|known| *known == origin)
    }

    /// Adds the headers that allow pages of this origin to read a response.
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.origins.is_empty() {
            return;
        }
        // A cache must store responses per origin, including those without CORS headers.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// Responds to a preflight request of an allowed origin. Browsers send it without a credential.
    pub(crate) fn preflight(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let headers = request.headers();
        let is_preflight = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !is_preflight {
            return None;
        }
        self.allowed(headers)?;
        let mut response = HttpResponse::NoContent();
        response.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS));
        response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS));
        response.insert_header((header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        Some(response.finish())
    }
}

/// Returns true for CORS headers, which only the gateway may set.
pub(crate) fn is_set_by_gateway(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Result<Cors> {
        let origins = StringList(origins.iter().map(|origin| (*origin).to_owned()).collect());
        Cors::new(&CorsSettings { origins, max_age: Duration::from_secs(600) })
    }

    #[test]
    fn only_exact_origins_are_accepted() {
        cors(&["https://app.example.com", "http://localhost:3000", "http://[::1]:3000"]).unwrap();
        for origin in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://app.example.com/",
            "https://App.example.com",
            "https://app.example.com:443",
            "https://*.example.com",
            "file:///x",
            "https://user@app.example.com",
        ] {
            let error = format!("{:#}", cors(&[origin]).unwrap_err());
            assert!(error.contains("service.cors.origins"), "{origin}: {error}");
        }
    }

    #[test]
    fn request_with_two_origins_is_not_allowed() {
        let cors = cors(&["https://a.example"]).unwrap();
        let mut headers = HeaderMap::new();
        assert!(cors.allowed(&headers).is_none());
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert!(cors.allowed(&headers).is_some());
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert!(cors.allowed(&headers).is_none());
    }
}
