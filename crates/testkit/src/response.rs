//! An answer, read.

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

/// An HTTP answer with its body read as JSON.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null when the body is empty or not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Response {
    /// Reads the whole answer.
    pub async fn read(answer: reqwest::Response) -> Self {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.expect("read the body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status, headers, body, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The body, when the status is `status`.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// The details of the error, when the status and code are these; checks the envelope on the way.
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

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
