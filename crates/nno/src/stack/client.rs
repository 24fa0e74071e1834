//! The API, as `nno` calls it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use domain::Fault;
use kit::config::Secret;
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;

const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the gateway lets a request take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why something could not be done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server said no.
    Refused { status: u16, code: String, message: String, faults: Vec<Fault> },
    /// It said nothing that can be understood.
    Unreachable(String),
}

impl Failure {
    /// Whether the server refused with this code.
    pub(crate) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == expected)
    }
}

/// The API at an address, for the bearer of a key.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    url: String,
    key: Secret,
    /// Writes are tried without effect.
    pub(crate) dry_run: bool,
}

impl Api {
    /// # Errors
    /// When the address cannot be called.
    pub(crate) fn new(url: &str, key: Secret, dry_run: bool) -> Result<Self> {
        let parsed = Url::parse(url).with_context(|| format!("{url} is not a URL"))?;
        if parsed.scheme() != "http" {
            bail!(
                "{url} is not an http URL: TLS is not spoken here, so call a proxy on this machine that does"
            );
        }
        if !key.expose().bytes().all(|c| c.is_ascii_graphic()) || key.expose().is_empty() {
            bail!("the key must be of printable ASCII characters without spaces");
        }
        let client = Client::builder().connect_timeout(CONNECT).timeout(PATIENCE).build()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), key, dry_run })
    }

    /// What is at a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, None).await
    }

    /// Writes, or tries to where this is a dry run.
    pub(crate) async fn write(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let query = if self.dry_run { "?dryRun=true" } else { "" };
        self.ask(method, &format!("{path}{query}"), Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let request =
            self.client.request(method, format!("{}{path}", self.url)).bearer_auth(self.key.expose());
        let request = body.into_iter().fold(request, |request, body| request.json(body));
        let unreachable = |why: String| Failure::Unreachable(format!("{} cannot be asked: {why}", self.url));
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
    }
}
