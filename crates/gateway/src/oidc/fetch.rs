//! Getting the keys of an issuer.

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

/// How long an issuer may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MOST_BYTES: usize = 256 * 1024;

/// Where the keys of an issuer come from.
pub(super) struct Source {
    client: Client,
    first: Url,
    /// What its discovery document must say that it is; none if it is not asked.
    discovered: Option<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// # Errors
    /// When an authority is set that cannot be read.
    pub(super) fn new(settings: &IssuerSettings) -> Result<Self> {
        let tls = web_client(settings.authority.as_deref()).context("authority")?;
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(DEADLINE);
        let client = client.tls_backend_preconfigured(tls).build()?;
        let first = settings.first_url()?;
        let discovered = settings.jwks_url.is_none().then(|| settings.issuer.clone());
        Ok(Self { client, first, discovered })
    }

    /// Asks for the keys of now.
    ///
    /// # Errors
    /// Whatever kept them from coming.
    pub(super) async fn keys(&self) -> Result<KeySet> {
        let url = match &self.discovered {
            None => self.first.clone(),
            Some(issuer) => self.discover(issuer).await.context("discovery")?,
        };
        KeySet::read(&self.get(url).await?)
    }

    async fn discover(&self, issuer: &str) -> Result<Url> {
        let told: Discovery = serde_json::from_slice(&self.get(self.first.clone()).await?)?;
        ensure!(told.issuer == issuer, "it is the document of another issuer");
        let url = fetchable(&told.jwks_uri).context("jwks_uri")?;
        ensure!(url.scheme() == "https" || self.first.scheme() == "http", "jwks_uri must be https");
        Ok(url)
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>> {
        let mut answer = self.client.get(url).header("Accept", "application/json").send().await?;
        ensure!(answer.status() == StatusCode::OK, "the answer is {}", answer.status());
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            ensure!(bytes.len() + piece.len() <= MOST_BYTES, "the answer is longer than {MOST_BYTES} bytes");
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}
