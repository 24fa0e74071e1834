//! The URLs from which keys are fetched. The issuer names them, but cannot direct the gateway to other hosts.

use std::net::SocketAddr;

use actix_web::{HttpResponse, web};
use reqwest::StatusCode;
use rstest::rstest;
use rustls::ServerConfig;
use serde_json::{Value, json};
use testkit::Authority;

use super::{
    issuer::{Issuer, Key},
    with, world_with,
};
use crate::world::{error_of, serve_with_tls};

/// The response of an issuer to a request for its discovery document or its keys.
#[derive(Clone)]
enum Reply {
    Text(String),
    Redirect(String),
}

impl Reply {
    fn respond(&self) -> HttpResponse {
        match self {
            Self::Text(text) => HttpResponse::Ok().content_type("application/json").body(text.clone()),
            Self::Redirect(to) => HttpResponse::Found().insert_header(("Location", to.as_str())).finish(),
        }
    }
}

/// Starts an issuer with these replies. `document` gets the issuer's own name.
fn issuer(
    tls: Option<ServerConfig>,
    document: impl Fn(&str) -> Reply + Clone + Send + 'static,
    keys: Reply,
) -> SocketAddr {
    let scheme = if tls.is_some() { "https" } else { "http" };
    serve_with_tls(tls, move |config| {
        let discovery = move |request: actix_web::HttpRequest| {
            let response = document(&format!("{scheme}://{}", request.connection_info().host())).respond();
            async move { response }
        };
        config.route("/.well-known/openid-configuration", web::get().to(discovery));
        let keys = move || {
            let response = keys.respond();
            async move { response }
        };
        config.route("/keys", web::get().to(keys));
    })
}

/// Returns a function that creates a valid discovery document with this URL of the keys.
fn document_with(
    keys: impl Fn(&str) -> String + Clone + Send + 'static,
) -> impl Fn(&str) -> Reply + Clone + Send + 'static {
    move |name| Reply::Text(json!({ "issuer": name, "jwks_uri": keys(name) }).to_string())
}

/// Returns the status for a token of the issuer `name` that a key of `good` signed.
async fn outcome(good: &Issuer, key: &Key, name: String, authority: Value) -> StatusCode {
    let settings = json!({ "issuer": name, "authority": authority });
    let (world, _iam) = world_with(good, settings).await;
    let response = with(&world, &key.sign(&good.claims_with(json!({ "iss": name })))).await;
    let status = response.status();
    if status != StatusCode::OK {
        assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    }
    status
}

#[rstest]
#[case::as_it_is("http://127.0.0.1:PORT/keys", true)]
#[case::with_a_password("http://user:word@127.0.0.1:PORT/keys", false)]
#[case::with_a_user("http://127.0.0.1@127.0.0.1:PORT/keys", false)]
#[case::any_address("http://0.0.0.0:PORT/keys", false)]
#[case::mapped("http://[::ffff:127.0.0.1]:PORT/keys", false)]
#[case::private("http://10.0.0.1/keys", false)]
#[case::metadata("http://169.254.169.254/latest/meta-data/", false)]
#[case::file("file:///etc/passwd", false)]
#[case::data("data:application/json,{\"keys\":[]}", false)]
#[case::relative("/keys", false)]
#[case::nothing("", false)]
#[tokio::test]
async fn keys_are_fetched_over_https_or_from_this_machine(#[case] url: &str, #[case] is_fetched: bool) {
    let key = Key::ed("k", 1);
    let good = Issuer::with(&[&key]);
    let url = url.replace("PORT", &good.at.port().to_string());
    let at = issuer(None, document_with(move |_| url.clone()), Reply::Text(String::new()));
    let status = outcome(&good, &key, format!("http://{at}"), Value::Null).await;
    assert_eq!((status == StatusCode::OK, good.fetched.get() > 0), (is_fetched, is_fetched));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let key = Key::ed("k", 1);
    let good = Issuer::with(&[&key]);
    let (document, keys) =
        (format!("{}/.well-known/openid-configuration", good.name()), format!("{}/keys", good.name()));
    let at = issuer(None, move |_| Reply::Redirect(document.clone()), Reply::Text(String::new()));
    good.set_name(&format!("http://{at}"));
    assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, 503);
    let at = issuer(None, document_with(|name| format!("{name}/keys")), Reply::Redirect(keys));
    assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, 503);
    assert_eq!(good.fetched.get(), 0);
}

#[tokio::test]
async fn https_issuer_cannot_downgrade_to_http() {
    let (key, authority, folder) = (Key::ed("k", 1), Authority::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, &authority.pem).unwrap();
    let good = Issuer::with(&[&key]);
    let keys = format!("{}/keys", good.name());
    let at = issuer(
        Some(authority.server("127.0.0.1")),
        document_with(move |_| keys.clone()),
        Reply::Text(String::new()),
    );
    assert_eq!(outcome(&good, &key, format!("https://{at}"), json!(file)).await, 503);
    assert_eq!(good.fetched.get(), 0);
}

#[tokio::test]
async fn oversized_and_malformed_key_sets_are_rejected() {
    let key = Key::ed("k", 1);
    let good = Issuer::with(&[&key]);
    let keys = json!({ "keys": [key.public()] }).to_string();
    for (length, status) in [(250_000, StatusCode::OK), (300_000, StatusCode::SERVICE_UNAVAILABLE)] {
        let reply = Reply::Text(format!("{keys}{}", " ".repeat(length)));
        let at = issuer(None, document_with(|name| format!("{name}/keys")), reply);
        assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, status, "{length}");
    }
    for text in ["", "[]", "{\"keys\":1}", "<html>"] {
        let at = issuer(None, document_with(|name| format!("{name}/keys")), Reply::Text(text.to_owned()));
        assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, 503, "{text}");
    }
}
