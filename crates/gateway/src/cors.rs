//! Which pages of other origins may read answers, and what every answer tells browsers besides.
//!
//! A credential of ours is a header that a page must have, never a cookie: so no answer allows credentials, and an
//! origin that is not on the list is told nothing at all.

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

use crate::texts::Texts;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, traceparent";
const ANSWER_HEADERS: &str = "X-Request-Id, ETag, Location, Allow, RateLimit, RateLimit-Policy, Retry-After, \
                              Idempotent-Replayed, Dry-Run";

/// Which pages may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins, exactly as browsers say them.
    pub origins: Texts,
    /// How long a browser may remember what a preflight was told.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub max_age: Duration,
}

/// The origins whose pages may call.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    /// # Errors
    /// When one is no origin.
    pub(crate) fn new(settings: &CorsSettings) -> Result<Self> {
        let read = |origin: &String| {
            let wrong = || format!("service.cors.origins: '{origin}' must look like https://app.example.com");
            let url = Url::parse(origin).with_context(wrong)?;
            let is_exact = !origin.contains('*')
                && url.origin().is_tuple()
                && url.origin().ascii_serialization() == *origin;
            ensure!(is_exact && matches!(url.scheme(), "http" | "https"), wrong());
            HeaderValue::from_str(origin).with_context(wrong)
        };
        Ok(Self {
            origins: settings.origins.0.iter().map(read).collect::<Result<_>>()?,
            max_age: HeaderValue::from(settings.max_age.as_secs()),
        })
    }

    /// The origin of a request, if its pages may call: the value from the list, not the one that came.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<&HeaderValue> {
        let mut told = headers.get_all(header::ORIGIN);
        let (Some(origin), None) = (told.next(), told.next()) else { return None };
        self.origins.iter().find(|known| *known == origin)
    }

    /// Marks an answer as one that pages of this origin may read.
    pub(crate) fn mark(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.origins.is_empty() {
            return;
        }
        // Whoever keeps answers must keep them apart by origin, also the ones that were told nothing.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed = HeaderValue::from_static(ANSWER_HEADERS);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// The answer to a preflight of a page that may call: a browser asks it without a credential.
    pub(crate) fn preflight(&self, request: &HttpRequest) -> Option<HttpResponse> {
        let headers = request.headers();
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        self.allowed(headers)?;
        let mut answer = HttpResponse::NoContent();
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS));
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS));
        answer.insert_header((header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        Some(answer.finish())
    }
}

/// Whether a header is the gateway's to say, about pages of other origins.
pub(crate) fn is_ours_to_say(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Result<Cors> {
        let origins = Texts(origins.iter().map(|origin| (*origin).to_owned()).collect());
        Cors::new(&CorsSettings { origins, max_age: Duration::from_secs(600) })
    }

    #[test]
    fn origins_are_exact() {
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
            let told = format!("{:#}", cors(&[origin]).unwrap_err());
            assert!(told.contains("service.cors.origins"), "{origin}: {told}");
        }
    }

    #[test]
    fn an_origin_comes_once() {
        let cors = cors(&["https://a.example"]).unwrap();
        let mut headers = HeaderMap::new();
        assert!(cors.allowed(&headers).is_none());
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert!(cors.allowed(&headers).is_some());
        headers.append(header::ORIGIN, HeaderValue::from_static("https://a.example"));
        assert!(cors.allowed(&headers).is_none());
    }
}
