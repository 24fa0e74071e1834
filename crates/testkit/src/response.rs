//! HTTP responses in tests.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

/// An HTTP response with its body parsed as JSON.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null if the body is empty or not JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

impl Response {
    /// Reads the whole response.
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("read the body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status, headers, body, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// Asserts the status and returns the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Asserts the status, the error code and the envelope of the error, and returns its details.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Value {
        let text = self.body.to_string();
        assert_eq!(self.status.as_u16(), status, "{text}");
        let error = self.body.get("error").unwrap_or_else(|| panic!("no envelope: {text}"));
        assert_eq!(error.get("code").and_then(Value::as_str), Some(code), "{text}");
        assert!(error.get("message").is_some_and(Value::is_string), "{text}");
        assert_eq!(error.get("requestId").and_then(Value::as_str), self.header("x-request-id"), "{text}");
        let details = error.get("details").unwrap_or_else(|| panic!("no details: {text}"));
        assert!(details.is_object(), "{text}");
        details.clone()
    }

    /// Returns a header of the response.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
