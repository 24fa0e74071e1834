//! HTTP clients for tests.

use std::path::Path;

/// Returns a client that connects directly, even if the environment names a proxy.
pub fn client() -> reqwest::Client {
    client_trusting(None)
}

/// Returns a client that also trusts the certificate authority in a PEM file.
pub fn client_trusting(authority: Option<&Path>) -> reqwest::Client {
    let tls = identity::tls::web_client(authority).expect("an authority");
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().expect("a client")
}
