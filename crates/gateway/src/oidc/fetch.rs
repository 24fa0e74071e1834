//! Fetching of an issuer's keys.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use identity::tls::web_client;
use reqwest::{Client, StatusCode, redirect::Policy};
use serde::Deserialize;
use url::Url;

use super::{
    keys::KeySet,
    settings::{IssuerSettings, fetchable},
};

/// Time limit of a request to an issuer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Maximum size of a response, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// The source of an issuer's keys.
pub(super) struct Source {
    client: Client,
    /// The first URL to request: of the keys or of the discovery document.
    first: Url,
    /// The issuer that the discovery document must name; `None` without discovery.
    discovery_issuer: Option<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// Creates a source from the settings of an issuer.
    ///
    /// # Errors
    /// When the file of the authority cannot be read.
    pub(super) fn new(settings: &IssuerSettings) -> Result<Self> {
        let tls = web_client(settings.authority.as_deref()).context("authority")?;
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(DEADLINE);
        let client = client.tls_backend_preconfigured(tls).build()?;
        let first = settings.first_url()?;
        let discovery_issuer = settings.jwks_url.is_none().then(|| settings.issuer.clone());
        Ok(Self { client, first, discovery_issuer })
    }

    /// Fetches the current keys.
    ///
    /// # Errors
    /// When the issuer cannot be reached or sends an invalid response.
    pub(super) async fn keys(&self) -> Result<KeySet> {
        let url = match &self.discovery_issuer {
            None => self.first.clone(),
            Some(issuer) => self.discover(issuer).await.context("discovery")?,
        };
        KeySet::read(&self.get(url).await?)
    }

    async fn discover(&self, issuer: &str) -> Result<Url> {
        let document: Discovery = serde_json::from_slice(&self.get(self.first.clone()).await?)?;
        ensure!(document.issuer == issuer, "the document names a different issuer");
        let url = fetchable(&document.jwks_uri).context("jwks_uri")?;
        ensure!(url.scheme() == "https" || self.first.scheme() == "http", "jwks_uri must be https");
        Ok(url)
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>> {
        let mut response = self.client.get(url).header("Accept", "application/json").send().await?;
        ensure!(response.status() == StatusCode::OK, "the status of the response is {}", response.status());
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await? {
            ensure!(bytes.len() + piece.len() <= MAX_BYTES, "the response is longer than {MAX_BYTES} bytes");
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}
