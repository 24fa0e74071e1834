//! The API, as `nno` calls it.

use std::{fmt, time::Duration};

use anyhow::{Result, bail};
use domain::Fault;
use identity::tls::web_client;
use reqwest::{Client, Method, StatusCode, Url};
use runtime::config::Secret;
use serde_json::Value;

use super::address::Address;

const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the gateway lets a request take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why something could not be done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no.
    Refused { status: u16, code: String, message: String, faults: Vec<Fault>, request_id: Option<String> },
    /// It said nothing that can be understood.
    Unreachable(String),
}

impl Failure {
    /// Whether the server refused with this code.
    pub(crate) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == expected)
    }
}

/// On one line, but for a line for each fault.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Refused { status, code, message, faults, request_id } => {
                write!(f, "{status} {code}: {message}")?;
                if let Some(id) = request_id {
                    write!(f, " (request {id})")?;
                }
                faults.iter().try_for_each(|Fault { path, message }| write!(f, "\n  {path}: {message}"))
            }
        }
    }
}

/// The API at an address, for the bearer of a key.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    address: Address,
    key: Secret,
    /// Writes are tried without effect.
    pub(crate) dry_run: bool,
}

impl Api {
    /// # Errors
    /// When the key cannot be sent.
    pub(crate) fn new(address: Address, key: Secret, dry_run: bool) -> Result<Self> {
        if !key.expose().bytes().all(|c| c.is_ascii_graphic()) || key.expose().is_empty() {
            bail!("the key must be of printable ASCII characters without spaces");
        }
        let client = Client::builder().connect_timeout(CONNECT).timeout(PATIENCE);
        let client = client.tls_backend_preconfigured(web_client(None)?).build()?;
        Ok(Self { client, address, key, dry_run })
    }

    /// What is at a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.find(path, &[]).await
    }

    /// What of a list at a path a query finds.
    pub(crate) async fn find(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.ask(Method::GET, path, query, None).await
    }

    /// Writes, or tries to where this is a dry run.
    pub(crate) async fn write(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let query: &[_] = if self.dry_run { &[("dryRun", "true")] } else { &[] };
        self.ask(method, path, query, Some(body)).await
    }

    /// Deletes what is at a path.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, &[], None).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let unreachable =
            |why: String| Failure::Unreachable(format!("{} cannot be asked: {why}", self.address));
        let mut url = Url::parse(&format!("{}{path}", self.address)).map_err(|e| unreachable(causes(&e)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url).bearer_auth(self.key.expose());
        let request = body.into_iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await.map_err(|error| unreachable(causes(&error)))?;
        let status = answer.status();
        let body: Result<Value, _> = answer.json().await;
        match body {
            Ok(body) if status.is_success() => Ok(body),
            Ok(body) => Err(refused(status, &body)),
            Err(error) => Err(unreachable(format!("{status}, and no JSON: {}", causes(&error)))),
        }
    }
}

/// An error and what caused it: the outermost alone says little.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

fn refused(status: StatusCode, body: &Value) -> Failure {
    let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let faults = body.pointer("/error/details/fields").cloned().unwrap_or_default();
    Failure::Refused {
        status: status.as_u16(),
        code: text("/error/code"),
        message: text("/error/message"),
        faults: serde_json::from_value(faults).unwrap_or_default(),
        request_id: Some(text("/error/requestId")).filter(|id| !id.is_empty()),
    }
}
