//! Mutual TLS between processes. Each presents a certificate and trusts those of the same authority.
//!
//! The process reloads the files while it runs. If they cannot be used, it logs the reason and keeps the previous
//! certificates. A connection keeps the certificates it was opened with; on gRPC, [`MAX_CONNECTION_AGE`] limits for how
//! long.

mod certificates;
mod incoming;
mod web;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use runtime::shutdown::Shutdown;
use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::ServerName,
    server::NoServerSessionStorage,
    sign::CertifiedKey,
    version::TLS13,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use utoipa::ToSchema;

use certificates::{Certificates, ClientVerifier, OwnCertificate, ServerVerifier};

pub use web::web_client;

/// Maximum age of a gRPC connection with TLS. Its replacement uses the current certificates.
pub const MAX_CONNECTION_AGE: Duration = Duration::from_secs(3600);

/// ALPN protocol names.
pub const HTTP1: &[u8] = b"http/1.1";
pub const HTTP2: &[u8] = b"h2";

/// The PEM files of mutual TLS. Without them, connections between processes are not encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate of this process, followed by the intermediate certificates. It must contain the host name of the
    /// process and be valid for both server and client authentication.
    #[schema(value_type = String)]
    pub certificate: PathBuf,
    /// The private key of the certificate.
    #[schema(value_type = String)]
    pub private_key: PathBuf,
    /// The certificates of the authorities of all processes.
    #[schema(value_type = String)]
    pub authority: PathBuf,
    /// Interval between checks of the certificate files for changes.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub reread_every: Duration,
}

/// The configuration of TLS, for servers and clients.
#[derive(Debug, Clone)]
pub struct Tls {
    settings: Arc<TlsSettings>,
    current: Current,
    server: ServerConfig,
    client: ClientConfig,
}

/// The certificates loaded last.
#[derive(Debug, Clone)]
struct Current(Arc<ArcSwap<Certificates>>);

impl Current {
    fn get(&self) -> Arc<Certificates> {
        self.0.load_full()
    }

    fn set(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }

    fn identity(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.get().identity)
    }
}

impl Tls {
    /// Loads the files; `None` if no file is set.
    ///
    /// # Errors
    /// When only some files are set, or one cannot be used.
    pub fn read(settings: &TlsSettings) -> Result<Option<Self>> {
        let files = [&settings.certificate, &settings.private_key, &settings.authority];
        if files.iter().all(|file| file.as_os_str().is_empty()) {
            return Ok(None);
        }
        ensure!(
            files.iter().all(|file| !file.as_os_str().is_empty()),
            "tls.certificate, tls.private_key and tls.authority must be set together or not at all"
        );
        ensure!(!settings.reread_every.is_zero(), "tls.reread_every must be greater than zero");
        let certificates = Certificates::read(settings).context("tls")?;
        let current = Current(Arc::new(ArcSwap::from_pointee(certificates)));
        Ok(Some(Self {
            settings: Arc::new(settings.clone()),
            server: server(&current)?,
            client: client(&current)?,
            current,
        }))
    }

    /// The configuration of a server that supports these protocols.
    #[must_use]
    pub fn server_config(&self, protocols: &[&[u8]]) -> ServerConfig {
        let mut config = self.server.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// Opens a connection with TLS.
    ///
    /// # Errors
    /// When the peer cannot be reached, its certificate is not trusted, or it does not trust ours.
    pub async fn connect(&self, host: &str, port: u16, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(without_brackets(host).to_owned()).map_err(io::Error::other)?;
        let mut config = self.client.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config)).connect(name, connect_plaintext(host, port).await?).await
    }

    /// Checks that a scheme agrees with the TLS settings, so that nothing is sent unencrypted by mistake.
    ///
    /// # Errors
    /// When the scheme is `http` with TLS, or `https` without.
    pub fn ensure_scheme(tls: Option<&Self>, scheme: Option<&str>) -> Result<()> {
        let (required, because) = if tls.is_some() { ("https", "is") } else { ("http", "is not") };
        ensure!(
            scheme == Some(required),
            "must begin with {required}://, because tls.certificate {because} set: with a certificate, all connections \
             between processes are encrypted; without one, none is"
        );
        Ok(())
    }

    /// Makes the client accept any host name in a server's certificate. For a process that is called by its address,
    /// such as by its own health check. The authority is still verified.
    #[must_use]
    pub fn accept_any_name(mut self) -> Self {
        let verifier = ServerVerifier { current: self.current.clone(), accepts_any_name: true };
        self.client.dangerous().set_certificate_verifier(Arc::new(verifier));
        self
    }

    /// Checks the files for changes in the background, until the process stops.
    pub fn reload_periodically(&self, shutdown: &Shutdown) {
        let (tls, ending) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let mut logged = None;
            while tokio::time::timeout(tls.settings.reread_every, ending.begun()).await.is_err() {
                let next = tls.clone();
                let outcome = tokio::task::spawn_blocking(move || next.reload()).await;
                let failure =
                    outcome.map_err(anyhow::Error::from).flatten().err().map(|error| format!("{error:#}"));
                if failure.is_some() && failure != logged {
                    let cause = failure.as_deref().unwrap_or_default();
                    tracing::error!(cause, "cannot load the new certificates; the previous ones stay in use");
                }
                logged = failure;
            }
        });
    }

    fn reload(&self) -> Result<()> {
        let certificates = Certificates::read(&self.settings)?;
        if certificates.digest != self.current.get().digest {
            self.current.set(certificates);
            tracing::info!("reloaded the certificates");
        }
        Ok(())
    }
}

/// Opens a connection without TLS.
///
/// # Errors
/// When the peer cannot be reached.
pub async fn connect_plaintext(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((without_brackets(host), port)).await?;
    // Without this, a small write waits for the acknowledgement of the previous one.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Removes the brackets of an IPv6 address in a URL.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Both ends are our own processes, so only TLS 1.3 is enabled. Sessions are not resumed, so that each connection
/// verifies the certificates.
fn server(current: &Current) -> Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(ClientVerifier(current.clone())))
        .with_cert_resolver(Arc::new(OwnCertificate(current.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(current: &Current) -> Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier {
            current: current.clone(),
            accepts_any_name: false,
        }))
        .with_client_cert_resolver(Arc::new(OwnCertificate(current.clone())));
    config.resumption = Resumption::disabled();
    Ok(config)
}
