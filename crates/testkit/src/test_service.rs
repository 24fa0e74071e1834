//! Running services and signed requests.

use std::{net::SocketAddr, path::Path, sync::Arc};

use identity::{Caller, Ctx, KeyPair, Signer};
use reqwest::{Method, RequestBuilder};
use rpc::{Client, Peer, Peers};
use runtime::{
    config::{self, PeerSettings},
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use service::{Application, Service, Settings};
use tempfile::TempDir;

use crate::{Response, TestDb, client};

/// The processes that sign tokens.
pub const PROCESSES: [&str; 6] =
    ["gateway", "iam", "registry", "stack-registry", "onboarding", "provisioning"];

/// Keys of all processes, in a temporary folder that clones share.
#[derive(Debug, Clone)]
pub struct Keys(Arc<TempDir>);

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// Generates keys.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for name in PROCESSES {
            KeyPair::ensure(dir.path(), name).expect("generate a key");
        }
        Self(Arc::new(dir))
    }

    /// Returns the folder.
    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Returns a signer for a process.
    pub fn signer(&self, name: &str) -> Signer {
        Signer::new(name, &KeyPair::read(self.dir(), name).expect("read a key")).expect("create a signer")
    }
}

/// A service on free ports, with its own database.
#[derive(Debug)]
pub struct TestService {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub keys: Keys,
    pub db: TestDb,
    name: &'static str,
    client: reqwest::Client,
    shutdown: Shutdown,
    /// Drains when the service has stopped.
    running: Shutdown,
}

impl TestService {
    /// Starts `S` with default settings.
    pub async fn start<S: Service>() -> Self {
        Self::start_with::<S>(json!({})).await
    }

    /// Starts `S` with overrides of its settings, such as `{"service": {..}}`.
    pub async fn start_with<S: Service>(overrides: Value) -> Self {
        let db = TestDb::of::<S>().await;
        Self::start_on::<S>(db, Keys::new(), overrides).await
    }

    /// Starts `S` with an existing database and existing keys.
    pub async fn start_on<S: Service>(db: TestDb, keys: Keys, overrides: Value) -> Self {
        Self::start_built::<S, _>(db, keys, overrides, S::build).await
    }

    /// Starts the application that `build` returns.
    pub async fn start_built<S: Service, Fut>(
        db: TestDb,
        keys: Keys,
        overrides: Value,
        build: impl FnOnce(Settings<S::Settings>, Shutdown) -> Fut,
    ) -> Self
    where
        Fut: Future<Output = anyhow::Result<Application>>,
    {
        let mut set = json!({
            "http": { "bind": "127.0.0.1:0", "workers": 1 },
            "grpc": { "bind": "127.0.0.1:0" },
            "database": { "url": db.app_url, "pool_per_worker": 8, "pool_background": 6 },
            "identity": { "keys_dir": keys.dir() },
        });
        config::merge(&mut set, overrides);
        let settings = config::with_overrides(S::DEFAULTS, set).expect("settings");
        let shutdown = Shutdown::new();
        let application = build(settings, shutdown.clone()).await.expect("the service starts");
        let (http, grpc) = (application.http, application.grpc);
        let running = Shutdown::new();
        running.spawn(async { application.run().await.expect("the service stops without an error") });
        Self { http, grpc, keys, db, name: S::NAME, client: client(), shutdown, running }
    }

    /// Stops the service and waits until it no longer listens.
    pub async fn stop(&self) {
        self.shutdown.begin();
        self.running.drained().await;
    }

    /// Returns a request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.http))
    }

    /// Returns a request with the token that the gateway signs for `caller`.
    pub fn request_as(&self, caller: &Caller, method: Method, path: &str) -> RequestBuilder {
        let token = self.keys.signer("gateway").sign(self.name, caller).expect("sign");
        self.anonymous(method, path).bearer_auth(token)
    }

    /// Returns a request of the operator.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as(&Caller::operator(), method, path)
    }

    /// Sends a request of the operator. Null means no body.
    pub async fn send(&self, method: Method, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        Response::read(request.send().await.expect("an answer")).await
    }

    /// Sends a GET request of the operator.
    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &Value::Null, &[]).await
    }

    /// Sends a POST request of the operator.
    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.send(Method::POST, path, &body, &[]).await
    }

    /// Sends a PATCH request of the operator.
    pub async fn patch(&self, path: &str, body: Value) -> Response {
        self.send(Method::PATCH, path, &body, &[]).await
    }

    /// Sends a DELETE request of the operator.
    pub async fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, &Value::Null, &[]).await
    }

    /// Returns the configuration with which `process` calls other processes.
    pub fn peers(&self, process: &str) -> Peers {
        Peers { signer: self.keys.signer(process), tls: None }
    }

    /// Returns a gRPC channel from `process` to the service.
    pub fn peer(&self, process: &str) -> Peer {
        self.peers(process).peer(self.name, &self.address()).expect("a peer")
    }

    /// Returns a typed client that sends only requests of the gRPC service `S`.
    pub fn client<S: rpc::Service>(&self, process: &str) -> Client<S> {
        Client::new(&self.peers(process), &self.address()).expect("a client")
    }

    fn address(&self) -> PeerSettings {
        PeerSettings { url: format!("http://{}", self.grpc) }
    }

    /// Returns the request context of `process`.
    pub fn ctx(&self, process: &str) -> Ctx {
        Ctx::for_service(process, "test")
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}
