//! What the files hold, as rustls asks for it: each question goes to what is held now.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{
        ClientHello, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};

use super::{Current, TlsSettings, provider};

/// What was read at one time.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) identity: Arc<CertifiedKey>,
    /// Of the files as they were.
    pub(super) digest: [u8; 32],
    of_clients: Arc<dyn ClientCertVerifier>,
    of_servers: Arc<dyn ServerCertVerifier>,
}

impl Held {
    /// # Errors
    /// When a file cannot be read, or its content is not what it should be.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self> {
        let [certificate, key, authority] =
            [&settings.certificate, &settings.private_key, &settings.authority].map(|file| read(file));
        let (certificate, key, authority) = (certificate?, key?, authority?);
        let mut digest = Sha256::new();
        for file in [&certificate, &key, &authority] {
            digest.update(Sha256::digest(file));
        }
        let chain = certificates(&certificate).with_context(|| told(&settings.certificate))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .context("no private key")
            .with_context(|| told(&settings.private_key))?;
        let identity = CertifiedKey::from_der(chain, key, &provider())
            .context("the private key is not the certificate's")?;
        let roots = Arc::new(roots(&authority).with_context(|| told(&settings.authority))?);
        Ok(Self {
            identity: Arc::new(identity),
            digest: digest.finalize().into(),
            of_clients: WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
                .build()?,
            of_servers: WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| told(file))
}

fn told(file: &Path) -> String {
    format!("{}", file.display())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().context("is not PEM")?;
    ensure!(!chain.is_empty(), "holds no certificate");
    Ok(chain)
}

/// The authorities of a file.
///
/// # Errors
/// When it holds none, or what is none.
pub(super) fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// Whom a server believes.
#[derive(Debug)]
pub(super) struct OfClients(pub(super) Current);

impl ClientCertVerifier for OfClients {
    /// None: they may be others by the time the client has chosen, and our clients have one certificate each.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        client: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.get().of_clients.verify_client_cert(client, between, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.get().of_clients.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.get().of_clients.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.get().of_clients.supported_verify_schemes()
    }
}

/// Whom a client believes.
#[derive(Debug)]
pub(super) struct OfServers {
    pub(super) current: Current,
    /// Whatever names the certificate holds: they are looked at last, when all else is found good.
    pub(super) by_any_name: bool,
}

impl ServerCertVerifier for OfServers {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.current.get().of_servers.verify_server_cert(server, between, name, ocsp, now) {
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if self.by_any_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.get().of_servers.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.get().of_servers.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.get().of_servers.supported_verify_schemes()
    }
}

/// What this process shows, as a server and as a client.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Current);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.identity())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.identity())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
