//! The certificates from the files, behind the traits of rustls. Each call uses the certificates loaded last.

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

/// The certificates of one load of the files.
#[derive(Debug)]
pub(super) struct Certificates {
    /// This process's certificate and key.
    pub(super) identity: Arc<CertifiedKey>,
    /// Digest of the files' contents.
    pub(super) digest: [u8; 32],
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<dyn ServerCertVerifier>,
}

impl Certificates {
    /// Loads the files.
    ///
    /// # Errors
    /// When a file cannot be read or has unexpected content.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self> {
        let [certificate, key, authority] =
            [&settings.certificate, &settings.private_key, &settings.authority].map(|file| read(file));
        let (certificate, key, authority) = (certificate?, key?, authority?);
        let mut digest = Sha256::new();
        for file in [&certificate, &key, &authority] {
            digest.update(Sha256::digest(file));
        }
        let chain = certificates(&certificate).with_context(|| display(&settings.certificate))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .context("contains no private key")
            .with_context(|| display(&settings.private_key))?;
        let identity = CertifiedKey::from_der(chain, key, &provider())
            .context("the private key does not belong to the certificate")?;
        let roots = Arc::new(authorities(&authority).with_context(|| display(&settings.authority))?);
        Ok(Self {
            identity: Arc::new(identity),
            digest: digest.finalize().into(),
            clients: WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider()).build()?,
            servers: WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| display(file))
}

fn display(file: &Path) -> String {
    file.display().to_string()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().context("is not PEM")?;
    ensure!(!chain.is_empty(), "contains no certificate");
    Ok(chain)
}

/// Parses the certificates of authorities from a PEM file.
///
/// # Errors
/// When the file contains none, or one that cannot be used.
pub(super) fn authorities(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// Verifies the certificates of clients.
#[derive(Debug)]
pub(super) struct ClientVerifier(pub(super) Current);

impl ClientCertVerifier for ClientVerifier {
    /// Returns no hints: the authorities may change before the client chooses, and clients have one certificate each.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        client: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.get().clients.verify_client_cert(client, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.get().clients.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.get().clients.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.get().clients.supported_verify_schemes()
    }
}

/// Verifies the certificates of servers.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) current: Current,
    /// True to accept any host name in the certificate. The names are checked last, after everything else is valid.
    pub(super) accepts_any_name: bool,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.current.get().servers.verify_server_cert(server, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
                if self.accepts_any_name =>
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
        self.current.get().servers.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.get().servers.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.get().servers.supported_verify_schemes()
    }
}

/// The certificate that this process presents, as a server and as a client.
#[derive(Debug)]
pub(super) struct OwnCertificate(pub(super) Current);

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.identity())
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.identity())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
