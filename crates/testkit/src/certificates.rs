//! Certificates of a test authority.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The certificate of the authority, as PEM.
    pub pem: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Creates an authority. No process trusts it yet.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes the three files of a process with the host name `name`, and returns its `tls` settings.
    pub fn files(&self, at: &Path, name: &str) -> Value {
        self.files_until(at, name, 2999)
    }

    /// Like [`Self::files`], with a certificate that expires at the end of a year.
    pub fn files_until(&self, at: &Path, name: &str, year: i32) -> Value {
        let key = KeyPair::generate().expect("a key");
        let certificate = self.certificate(name, year, &key);
        fs::create_dir_all(at).expect("a folder");
        let write = |file: &str, pem: String| {
            let path = at.join(file);
            fs::write(&path, pem).expect("write");
            path
        };
        json!({
            "certificate": write("tls.crt", certificate.pem()),
            "private_key": write("tls.key", key.serialize_pem()),
            "authority": write("ca.crt", self.pem.clone()),
            "reread_every": "50ms",
        })
    }

    fn certificate(&self, name: &str, year: i32, key: &KeyPair) -> Certificate {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 12, 31);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(key, &self.issuer).expect("a certificate")
    }

    /// Returns the configuration of a server with the host name `name` that requires no client certificates.
    pub fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let chain = vec![self.certificate(name, 2999, &key).der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        config.with_single_cert(chain, key).expect("a certificate and its key")
    }
}
