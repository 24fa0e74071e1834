//! TLS to external servers, whose certificates are from a public authority or from a private one.

use std::{fs, path::Path, sync::LazyLock};

use anyhow::{Context, Result};
use rustls::{ClientConfig, RootCertStore};

use super::{certificates::authorities, provider};

/// The authorities that this machine trusts, from its own list or from `SSL_CERT_FILE` and `SSL_CERT_DIR`. Empty if
/// there is no list.
static SYSTEM_AUTHORITIES: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Certificates that cannot be parsed are skipped, as in every browser.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// The configuration of an HTTP client that trusts the authorities of this machine and those of a PEM file.
///
/// # Errors
/// When the file contains no authority.
pub fn web_client(authority: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = SYSTEM_AUTHORITIES.clone();
    if let Some(file) = authority {
        let private = fs::read(file).map_err(anyhow::Error::from).and_then(|pem| authorities(&pem));
        roots.extend(private.with_context(|| file.display().to_string())?.roots);
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
