//! TLS towards the world: servers that show a certificate of a public authority, or of one of one's own.

use std::{fs, path::Path, sync::LazyLock};

use anyhow::{Context, Result};
use rustls::{ClientConfig, RootCertStore};

use super::{held, provider};

/// The authorities that this machine believes: its own list, or that of `SSL_CERT_FILE` and `SSL_CERT_DIR`. Empty where
/// there is no list.
static OF_THIS_MACHINE: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // One that is not understood is left out, as in every browser.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// What an HTTP client is made with: it believes the authorities of this machine, and those of a PEM file.
///
/// # Errors
/// When the file holds no authority.
pub fn web_client(authority: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = OF_THIS_MACHINE.clone();
    if let Some(file) = authority {
        let own = fs::read(file).map_err(anyhow::Error::from).and_then(|pem| held::roots(&pem));
        roots.extend(own.with_context(|| file.display().to_string())?.roots);
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
