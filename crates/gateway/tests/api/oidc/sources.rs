//! Where keys are fetched from is told by the issuer, which is believed in no more than that: nothing else is asked.

use std::net::SocketAddr;

use actix_web::{HttpResponse, web};
use reqwest::StatusCode;
use rstest::rstest;
use rustls::ServerConfig;
use serde_json::{Value, json};
use testkit::Authority;

use super::{
    before_with,
    issuer::{Issuer, Key},
    with,
};
use crate::world::{error_of, serve_under};

/// What an issuer answers when it is asked for its document, and then for its keys.
#[derive(Clone)]
enum Says {
    Text(String),
    Moved(String),
}

impl Says {
    fn answer(&self) -> HttpResponse {
        match self {
            Self::Text(text) => HttpResponse::Ok().content_type("application/json").body(text.clone()),
            Self::Moved(to) => HttpResponse::Found().insert_header(("Location", to.as_str())).finish(),
        }
    }
}

/// An issuer that says of itself what it is told to, by its own name.
fn issuer(
    tls: Option<ServerConfig>,
    document: impl Fn(&str) -> Says + Clone + Send + 'static,
    keys: Says,
) -> SocketAddr {
    let scheme = if tls.is_some() { "https" } else { "http" };
    serve_under(tls, move |config| {
        let told = move |request: actix_web::HttpRequest| {
            let answer = document(&format!("{scheme}://{}", request.connection_info().host())).answer();
            async move { answer }
        };
        config.route("/.well-known/openid-configuration", web::get().to(told));
        let keys = move || {
            let answer = keys.answer();
            async move { answer }
        };
        config.route("/keys", web::get().to(keys));
    })
}

fn names(
    keys: impl Fn(&str) -> String + Clone + Send + 'static,
) -> impl Fn(&str) -> Says + Clone + Send + 'static {
    move |itself| Says::Text(json!({ "issuer": itself, "jwks_uri": keys(itself) }).to_string())
}

/// What a token gets that an issuer's own key has signed, if the keys of `good` are those of the issuer.
async fn outcome(good: &Issuer, key: &Key, name: String, authority: Value) -> StatusCode {
    let settings = json!({ "issuer": name, "authority": authority });
    let (world, _iam) = before_with(good, settings).await;
    let response = with(&world, &key.sign(&good.claims_with(json!({ "iss": name })))).await;
    let status = response.status();
    if status != StatusCode::OK {
        assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    }
    status
}

/// Where the keys of another are, written so that a URL could be taken for one of this machine.
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
async fn keys_are_fetched_over_https_or_from_this_machine(#[case] url: &str, #[case] is_asked: bool) {
    let key = Key::ed("k", 1);
    let good = Issuer::with(&[&key]);
    let url = url.replace("PORT", &good.at.port().to_string());
    let at = issuer(None, names(move |_| url.clone()), Says::Text(String::new()));
    let status = outcome(&good, &key, format!("http://{at}"), Value::Null).await;
    assert_eq!((status == StatusCode::OK, good.fetched.get() > 0), (is_asked, is_asked));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let key = Key::ed("k", 1);
    let good = Issuer::with(&[&key]);
    let (document, keys) =
        (format!("{}/.well-known/openid-configuration", good.name()), format!("{}/keys", good.name()));
    let at = issuer(None, move |_| Says::Moved(document.clone()), Says::Text(String::new()));
    good.calls_itself(&format!("http://{at}"));
    assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, 503);
    let at = issuer(None, names(|itself| format!("{itself}/keys")), Says::Moved(keys));
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
    let at =
        issuer(Some(authority.server("127.0.0.1")), names(move |_| keys.clone()), Says::Text(String::new()));
    assert_eq!(outcome(&good, &key, format!("https://{at}"), json!(file)).await, 503);
    assert_eq!(good.fetched.get(), 0);
}

#[tokio::test]
async fn oversized_and_malformed_key_sets_are_rejected() {
    let key = Key::ed("k", 1);
    let good = Issuer::with(&[&key]);
    let keys = json!({ "keys": [key.public()] }).to_string();
    for (length, status) in [(250_000, StatusCode::OK), (300_000, StatusCode::SERVICE_UNAVAILABLE)] {
        let said = Says::Text(format!("{keys}{}", " ".repeat(length)));
        let at = issuer(None, names(|itself| format!("{itself}/keys")), said);
        assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, status, "{length}");
    }
    for said in ["", "[]", "{\"keys\":1}", "<html>"] {
        let at = issuer(None, names(|itself| format!("{itself}/keys")), Says::Text(said.to_owned()));
        assert_eq!(outcome(&good, &key, format!("http://{at}"), Value::Null).await, 503, "{said}");
    }
}
