//! Mutual TLS between processes: each shows a certificate, and believes whoever shows one of the same authority.
//!
//! The files are read anew while the process runs. What cannot be used is told in the log, and what was read before
//! goes on to hold. A connection keeps what it was made with; [`MOST_AGE`] bounds how long that is on gRPC.

mod held;
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

use held::{Held, OfClients, OfServers, Shown};

pub use web::web_client;

/// How long a gRPC connection is used under TLS before it is made anew, with the certificates of then.
pub const MOST_AGE: Duration = Duration::from_secs(3600);

/// What both ends say that they speak, as ALPN has it.
pub const HTTP1: &[u8] = b"http/1.1";
pub const HTTP2: &[u8] = b"h2";

/// The files of mutual TLS, all PEM. Without them nothing between processes is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate of this process, then those between it and the authority. It must hold the name by which others
    /// reach the process, and be one for servers and for clients.
    #[schema(value_type = String)]
    pub certificate: PathBuf,
    /// The certificate's private key.
    #[schema(value_type = String)]
    pub private_key: PathBuf,
    /// The certificates of the authorities of all processes.
    #[schema(value_type = String)]
    pub authority: PathBuf,
    /// How often it is looked whether the files are others.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub reread_every: Duration,
}

/// The certificates of now, and who is believed.
#[derive(Debug, Clone)]
pub struct Tls {
    settings: Arc<TlsSettings>,
    current: Current,
    server: ServerConfig,
    client: ClientConfig,
}

/// What is held now; it changes when the files do.
#[derive(Debug, Clone)]
struct Current(Arc<ArcSwap<Held>>);

impl Current {
    fn get(&self) -> Arc<Held> {
        self.0.load_full()
    }

    fn set(&self, held: Held) {
        self.0.store(Arc::new(held));
    }

    fn identity(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.get().identity)
    }
}

impl Tls {
    /// Reads the files; none if none is set.
    ///
    /// # Errors
    /// When only some are set, or one cannot be used.
    pub fn read(settings: &TlsSettings) -> Result<Option<Self>> {
        let files = [&settings.certificate, &settings.private_key, &settings.authority];
        if files.iter().all(|file| file.as_os_str().is_empty()) {
            return Ok(None);
        }
        ensure!(
            files.iter().all(|file| !file.as_os_str().is_empty()),
            "tls.certificate, tls.private_key and tls.authority are set together or not at all"
        );
        ensure!(!settings.reread_every.is_zero(), "tls.reread_every must be longer than nothing");
        let current = Current(Arc::new(ArcSwap::from_pointee(Held::read(settings).context("tls")?)));
        Ok(Some(Self {
            settings: Arc::new(settings.clone()),
            server: server(&current)?,
            client: client(&current)?,
            current,
        }))
    }

    /// For a server that speaks one of these protocols.
    #[must_use]
    pub fn server_config(&self, protocols: &[&[u8]]) -> ServerConfig {
        let mut config = self.server.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// Makes a connection under TLS.
    ///
    /// # Errors
    /// When nobody is there, it is not who it should be, or it does not believe us.
    pub async fn connect(&self, host: &str, port: u16, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
        let mut config = self.client.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config)).connect(name, open(host, port).await?).await
    }

    /// Holds a scheme against whether there are certificates: nothing is sent in the open by mistake.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn ensure_scheme(tls: Option<&Self>, scheme: Option<&str>) -> Result<()> {
        let (needed, because) = if tls.is_some() { ("https", "is") } else { ("http", "is not") };
        ensure!(
            scheme == Some(needed),
            "must begin with {needed}://, as tls.certificate {because} set: with it all connections between processes \
             are encrypted, without it none"
        );
        Ok(())
    }

    /// The same for a process that is asked at an address instead of by its name, such as by its own health check: its
    /// authority is looked at, its names are not.
    #[must_use]
    pub fn of_any_name(mut self) -> Self {
        let servers = OfServers { current: self.current.clone(), by_any_name: true };
        self.client.dangerous().set_certificate_verifier(Arc::new(servers));
        self
    }

    /// Looks at the files again and again, until the process ends.
    pub fn keep_current(&self, shutdown: &Shutdown) {
        let (tls, ending) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            let mut told = None;
            while tokio::time::timeout(tls.settings.reread_every, ending.begun()).await.is_err() {
                let next = tls.clone();
                let looked = tokio::task::spawn_blocking(move || next.look_again()).await;
                let failure =
                    looked.map_err(anyhow::Error::from).flatten().err().map(|error| format!("{error:#}"));
                if failure.is_some() && failure != told {
                    let cause = failure.as_deref().unwrap_or_default();
                    tracing::error!(cause, "the new certificates cannot be used: the ones before still hold");
                }
                told = failure;
            }
        });
    }

    fn look_again(&self) -> Result<()> {
        let held = Held::read(&self.settings)?;
        if held.digest != self.current.get().digest {
            self.current.set(held);
            tracing::info!("the certificates are read anew");
        }
        Ok(())
    }
}

/// Makes a connection in the open.
///
/// # Errors
/// When nobody is there.
pub async fn open(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((bare(host), port)).await?;
    // What is written piece by piece must not wait for the acknowledgement of the piece before.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An IPv6 address stands in brackets in a URL, and without in an address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// All ends are ours, so the newest version alone. Nothing is resumed: who is believed is looked at each time.
fn server(current: &Current) -> Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(OfClients(current.clone())))
        .with_cert_resolver(Arc::new(Shown(current.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(current: &Current) -> Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OfServers {
            current: current.clone(),
            by_any_name: false,
        }))
        .with_client_cert_resolver(Arc::new(Shown(current.clone())));
    config.resumption = Resumption::disabled();
    Ok(config)
}
