//! The client of the API.

use std::{fmt, time::Duration};

use anyhow::{Result, bail};
use domain::Fault;
use identity::tls::web_client;
use reqwest::{Client, Method, StatusCode, Url};
use runtime::config::Secret;
use serde_json::Value;

use super::address::Address;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the gateway's own timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Reason for a failed request.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server returned an error.
    Rejected { status: u16, code: String, message: String, faults: Vec<Fault>, request_id: Option<String> },
    /// No response arrived, or one that is not of this API.
    Unreachable(String),
}

impl Failure {
    /// Returns true if the server returned this error code.
    pub(crate) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Rejected { code, .. } if code == expected)
    }
}

/// One line, then a line for each fault.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Rejected { status, code, message, faults, request_id } => {
                write!(f, "{status} {code}: {message}")?;
                if let Some(id) = request_id {
                    write!(f, " (request {id})")?;
                }
                faults.iter().try_for_each(|Fault { path, message }| write!(f, "\n  {path}: {message}"))
            }
        }
    }
}

/// A client of the API at an address, with a key.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    address: Address,
    key: Secret,
    /// True if writes are only validated by the server.
    pub(crate) dry_run: bool,
}

impl Api {
    /// Creates a client.
    ///
    /// # Errors
    /// When the key has characters that a header cannot carry.
    pub(crate) fn new(address: Address, key: Secret, dry_run: bool) -> Result<Self> {
        if !key.expose().bytes().all(|c| c.is_ascii_graphic()) || key.expose().is_empty() {
            bail!("the key must be of printable ASCII characters without spaces");
        }
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT);
        let client = client.tls_backend_preconfigured(web_client(None)?).build()?;
        Ok(Self { client, address, key, dry_run })
    }

    /// Fetches a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.list(path, &[]).await
    }

    /// Fetches a path with a query.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.send(Method::GET, path, query, None).await
    }

    /// Sends a write, as a dry run if the client is set to.
    pub(crate) async fn write(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let query: &[_] = if self.dry_run { &[("dryRun", "true")] } else { &[] };
        self.send(method, path, query, Some(body)).await
    }

    /// Deletes the object at a path.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, &[], None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let unreachable = |why: String| Failure::Unreachable(format!("cannot reach {}: {why}", self.address));
        let mut url = Url::parse(&format!("{}{path}", self.address)).map_err(|e| unreachable(causes(&e)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url).bearer_auth(self.key.expose());
        let request = body.into_iter().fold(request, |request, body| request.json(body));
        let response = request.send().await.map_err(|error| unreachable(causes(&error)))?;
        let status = response.status();
        let body: Result<Value, _> = response.json().await;
        match body {
            Ok(body) if status.is_success() => Ok(body),
            Ok(body) => Err(rejected(status, &body)),
            Err(error) => Err(unreachable(format!("the response {status} is not JSON: {}", causes(&error)))),
        }
    }
}

/// Joins the messages of an error and its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn rejected(status: StatusCode, body: &Value) -> Failure {
    let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let faults = body.pointer("/error/details/fields").cloned().unwrap_or_default();
    Failure::Rejected {
        status: status.as_u16(),
        code: text("/error/code"),
        message: text("/error/message"),
        faults: serde_json::from_value(faults).unwrap_or_default(),
        request_id: Some(text("/error/requestId")).filter(|id| !id.is_empty()),
    }
}
