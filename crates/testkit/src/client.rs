//! An HTTP client for tests.

use std::path::Path;

/// A client that reaches what runs on this machine, whatever proxy the environment names.
pub fn client() -> reqwest::Client {
    believing(None)
}

/// The same, which believes an authority of a PEM file as well.
pub fn believing(authority: Option<&Path>) -> reqwest::Client {
    let tls = identity::tls::web_client(authority).expect("an authority");
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().expect("a client")
}
