//! A running gateway, with the services behind it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, body::BodyStream, http::header, web};
use futures_util::{StreamExt, stream};
use gateway::{DEFAULTS, Gateway, Reload, Settings};
use identity::{KeyPair, Verifier};
use reqwest::{Method, RequestBuilder, Response};
use runtime::{
    config,
    shutdown::Shutdown,
    telemetry::{Telemetry, TelemetrySettings},
};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The operator's key in tests.
pub(crate) const KEY: &str = "the-key-of-the-operator";

/// A gateway with its services.
pub(crate) struct World {
    pub(crate) at: SocketAddr,
    pub(crate) shutdown: Shutdown,
    client: reqwest::Client,
    reload: Reload,
    services: [SocketAddr; 5],
    keys: TempDir,
}

/// Returns the settings of a gateway with services at these addresses.
pub(crate) fn settings(keys: &Path, services: [SocketAddr; 5], overrides: Value) -> Settings {
    let url = |at: SocketAddr| json!({ "url": format!("http://{at}") });
    let [registry, stack_registry, onboarding, provisioning, iam] = services.map(url);
    let mut set = json!({
        "http": { "bind": "127.0.0.1:0", "workers": 1 },
        "identity": { "keys_dir": keys },
        "service": {
            "operator_key": KEY,
            "upstreams": {
                "registry": registry, "stack_registry": stack_registry,
                "onboarding": onboarding, "provisioning": provisioning, "iam": iam,
            },
        },
    });
    config::merge(&mut set, overrides);
    config::with_overrides(DEFAULTS, set).unwrap()
}

/// Creates a folder with the gateway's keys.
pub(crate) fn keys() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    KeyPair::ensure(dir.path(), "gateway").unwrap();
    dir
}

/// Starts telemetry, without which spans have no ids.
fn telemetry() {
    static STARTED: OnceLock<Telemetry> = OnceLock::new();
    STARTED.get_or_init(|| {
        let settings = TelemetrySettings { log: "off".to_owned(), otlp_endpoint: String::new() };
        Telemetry::start("gateway", &settings).unwrap()
    });
}

impl World {
    /// Starts a gateway with five services that echo their requests.
    pub(crate) fn new(overrides: Value) -> Self {
        let keys = keys();
        let names = ["registry", "stack-registry", "onboarding", "provisioning", "iam"];
        let services = names.map(|name| echo_service(name, Verifier::read(name, keys.path()).unwrap()));
        Self::start(keys, services, overrides)
    }

    /// Starts a gateway for which one service stands for all.
    pub(crate) fn with_service(service: SocketAddr, overrides: Value) -> Self {
        Self::start(keys(), [service; 5], overrides)
    }

    fn start(keys: TempDir, services: [SocketAddr; 5], overrides: Value) -> Self {
        telemetry();
        let shutdown = Shutdown::new();
        let gateway = Gateway::build(settings(keys.path(), services, overrides), shutdown.clone()).unwrap();
        let (at, reload) = (gateway.http, gateway.reloader());
        tokio::spawn(gateway.run());
        let client = testkit::client();
        Self { at, shutdown, client, reload, services, keys }
    }

    /// Reloads the gateway with different settings.
    pub(crate) fn reload(&self, overrides: Value) -> anyhow::Result<Vec<&'static str>> {
        self.reload.apply(&settings(self.keys.path(), self.services, overrides))
    }

    /// Returns a request without a credential.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.at))
    }

    /// Returns a request of the operator.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(KEY)
    }

    /// Sends a GET of the operator.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Waits until the gateway receives revocations, or no longer does.
    pub(crate) async fn wait_for_revocations(&self, expected: bool) {
        for _ in 0..500 {
            let response = self.anonymous(Method::GET, "/ready").send().await.unwrap();
            let body: Value = response.json().await.unwrap();
            if (body["checks"]["revocations"] == "ok") == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not in five seconds: the gateway receives revocations: {expected}");
    }

    /// Sends a request and returns the echo of the service.
    pub(crate) async fn received(&self, request: RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// Checks the envelope of an error and returns its status and code.
pub(crate) async fn error_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (id, kind) = (header("x-request-id"), header("content-type"));
    assert_eq!(kind.as_deref(), Some("application/json"), "{status}");
    assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(header("referrer-policy").as_deref(), Some("no-referrer"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    let body: Value = response.json().await.unwrap();
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert!(error["details"].is_object(), "{body}");
    assert_eq!(error["requestId"].as_str(), id.as_deref(), "{body}");
    (status, error["code"].as_str().unwrap().to_owned())
}

/// Starts an HTTP server with the routes of `config`, on its own thread.
pub(crate) fn serve(config: impl FnOnce(&mut web::ServiceConfig) + Clone + Send + 'static) -> SocketAddr {
    serve_with_tls(None, config)
}

/// Starts an HTTP server, with TLS if there is a configuration.
pub(crate) fn serve_with_tls(
    tls: Option<ServerConfig>,
    config: impl FnOnce(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> SocketAddr {
    let server = HttpServer::new(move || App::new().configure(config.clone())).workers(1).disable_signals();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let server = match tls {
        None => server.listen(listener),
        Some(tls) => server.listen_rustls_0_23(listener, tls),
    };
    tokio::spawn(server.unwrap().run());
    at
}

/// Starts a service that verifies callers by their signed identity and echoes its requests.
fn echo_service(name: &'static str, verifier: Verifier) -> SocketAddr {
    serve(move |config| {
        let echo = move |request: HttpRequest, mut body: web::Payload| {
            let verifier = verifier.clone();
            async move {
                let authorization =
                    request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap());
                let Ok(caller) = verifier.verify(authorization) else {
                    return HttpResponse::Forbidden().finish();
                };
                let mut length = 0;
                while let Some(piece) = body.next().await {
                    let Ok(piece) = piece else { return HttpResponse::BadRequest().finish() };
                    length += piece.len();
                }
                let headers: Vec<(&str, &str)> = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                    .collect();
                HttpResponse::Ok().json(json!({
                    "service": name, "caller": caller.id, "issuer": caller.issuer,
                    "actor": caller.actor_type, "grants": caller.grants(),
                    "method": request.method().as_str(), "uri": request.uri().to_string(),
                    "headers": headers, "length": length,
                }))
            }
        };
        config.default_service(web::to(echo));
    })
}

/// Returns the value of a header that an echoing service received. It must have received it at most once.
pub(crate) fn header<'a>(received: &'a Value, name: &str) -> Option<&'a str> {
    let mut values = received["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == name);
    let value = values.next().map(|pair| pair[1].as_str().unwrap());
    assert!(values.next().is_none(), "{name} was sent twice: {received}");
    value
}

/// A shared counter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits until the count reaches `expected`.
    pub(crate) async fn reaches(&self, expected: usize) {
        eventually(&format!("the count reaches {expected}"), || self.get() >= expected).await;
    }
}

/// Waits until a condition is true.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in five seconds: {what}");
}

/// Returns a body of `pieces` pieces of 64 KiB that counts the bytes read from it.
pub(crate) fn long_body(
    pieces: usize,
    read: Count,
) -> impl futures_util::Stream<Item = Result<web::Bytes, std::io::Error>> {
    let piece = web::Bytes::from(vec![b'x'; 64 * 1024]);
    stream::iter(0..pieces).map(move |_| {
        read.add(piece.len());
        Ok(piece.clone())
    })
}

/// Returns a response with such a body, chunked.
pub(crate) fn long_response(pieces: usize, read: Count) -> HttpResponse {
    HttpResponse::Ok().body(BodyStream::new(long_body(pieces, read)))
}
