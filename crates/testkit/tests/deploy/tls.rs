//! Mutual TLS between processes.

use std::{net::SocketAddr, path::Path, time::Duration};

use gateway::Gateway;
use iam::Iam;
use identity::tls::Tls;
use registry::Registry;
use reqwest::{Method, StatusCode};
use rpc::Peers;
use runtime::{
    config::{self, PeerSettings},
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Authority, Keys, TestDb, TestService, client, client_trusting};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use web::{check_ready, healthcheck};

/// A registry with the host name `localhost`, and the authority of its certificate.
struct Fixture {
    authority: Authority,
    folder: TempDir,
    registry: TestService,
}

impl Fixture {
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let set = json!({
            "tls": authority.files(&folder.path().join("registry"), "localhost"),
            "service": peer_urls("https://localhost:9"),
        });
        let registry = TestService::start_with::<Registry>(set).await;
        Self { authority, folder, registry }
    }

    /// Returns the TLS configuration of a process with these files.
    fn tls(&self, files: &Value) -> Tls {
        Tls::read(&config::read(files.clone()).unwrap()).unwrap().unwrap()
    }

    /// Returns the TLS configuration of a client that the registry trusts.
    fn trusted_client(&self) -> Tls {
        self.tls(&self.authority.files(&self.folder.path().join("client"), "localhost"))
    }

    /// Tries to connect to the registry over HTTP and over gRPC. True if it accepts the client.
    async fn accepts(&self, tls: &Tls) -> [bool; 2] {
        let http = check_ready("localhost", self.registry.http.port(), Some(tls)).await.is_ok();
        let peers = Peers { signer: self.registry.keys.signer("iam"), tls: Some(tls.clone()) };
        let grpc = peers.peer("registry", &at("localhost", self.registry.grpc)).unwrap().ping().await.is_ok();
        [http, grpc]
    }
}

fn peer_urls(url: &str) -> Value {
    let peer = json!({ "url": url });
    json!({ "stack_registry": peer, "provisioning": peer, "onboarding": peer })
}

fn at(host: &str, address: SocketAddr) -> PeerSettings {
    PeerSettings { url: format!("https://{host}:{}", address.port()) }
}

#[tokio::test]
async fn clients_without_a_trusted_certificate_are_rejected() {
    let fixture = Fixture::start().await;
    let folder = fixture.folder.path();
    assert_eq!(fixture.accepts(&fixture.trusted_client()).await, [true; 2]);
    // This client trusts the registry, so that only the registry can reject the connection.
    let mut files = Authority::new().files(&folder.join("stranger"), "localhost");
    files["authority"] = json!(folder.join("client/ca.crt"));
    assert_eq!(fixture.accepts(&fixture.tls(&files)).await, [false; 2]);
    let expired = fixture.authority.files_until(&folder.join("expired"), "localhost", 2020);
    assert_eq!(fixture.accepts(&fixture.tls(&expired)).await, [false; 2]);
    for address in [fixture.registry.http, fixture.registry.grpc] {
        let url = format!("localhost:{}/health", address.port());
        let without_certificate = client_trusting(Some(&folder.join("client/ca.crt")));
        without_certificate.get(format!("https://{url}")).send().await.unwrap_err();
        client().get(format!("http://{url}")).send().await.unwrap_err();
    }
}

#[tokio::test]
async fn server_certificate_must_match_the_host() {
    let fixture = Fixture::start().await;
    let (http, grpc, tls) = (fixture.registry.http, fixture.registry.grpc, fixture.trusted_client());
    assert!(check_ready("127.0.0.1", http.port(), Some(&tls)).await.is_err());
    let peers = Peers { signer: fixture.registry.keys.signer("iam"), tls: Some(tls.clone()) };
    assert!(peers.peer("registry", &at("127.0.0.1", grpc)).unwrap().ping().await.is_err());
    // A health check connects to its own process by address, which the certificate need not contain.
    healthcheck(http, Some(tls)).await.unwrap();
    let stranger = Authority::new().files(&fixture.folder.path().join("stranger"), "localhost");
    assert!(healthcheck(http, Some(fixture.tls(&stranger))).await.is_err());
}

#[tokio::test]
async fn certificates_rotate_without_a_restart() {
    let fixture = Fixture::start().await;
    let (old, server_files) = (fixture.trusted_client(), fixture.folder.path().join("registry"));
    let peers = Peers { signer: fixture.registry.keys.signer("iam"), tls: Some(old.clone()) };
    let connected = peers.peer("registry", &at("localhost", fixture.registry.grpc)).unwrap();
    connected.ping().await.unwrap();
    // The registry ignores files that it cannot read, such as those of an incomplete change.
    std::fs::write(server_files.join("tls.crt"), "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fixture.accepts(&old).await, [true; 2]);
    let next = Authority::new();
    next.files(&server_files, "localhost");
    let new = fixture.tls(&next.files(&fixture.folder.path().join("next"), "localhost"));
    eventually(async || fixture.accepts(&new).await == [true; 2]).await;
    assert_eq!(fixture.accepts(&old).await, [false; 2]);
    connected.ping().await.unwrap();
}

/// Waits up to five seconds for the condition.
async fn eventually(condition: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the condition was false for five seconds");
}

#[tokio::test]
async fn stalled_handshakes_do_not_block_other_clients() {
    let fixture = Fixture::start().await;
    let mut silent = Vec::new();
    for address in [fixture.registry.http, fixture.registry.grpc] {
        for _ in 0..50 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
    }
    assert_eq!(fixture.accepts(&fixture.trusted_client()).await, [true; 2]);
    // The registry closes them after a timeout.
    let mut answer = Vec::new();
    silent.pop().unwrap().read_to_end(&mut answer).await.unwrap();
    let mut plaintext = TcpStream::connect(fixture.registry.grpc).await.unwrap();
    plaintext.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let _ = plaintext.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn requests_work_with_tls_on_every_hop() {
    let (authority, folder, keys) = (Authority::new(), tempfile::tempdir().unwrap(), Keys::new());
    let files = |name: &str| authority.files(&folder.path().join(name), "localhost");
    let set = json!({ "tls": files("registry"), "service": peer_urls("https://localhost:9") });
    let registry = TestService::start_on::<Registry>(TestDb::of::<Registry>().await, keys.clone(), set).await;
    let set = json!({ "tls": files("iam"), "service": { "registry": at("localhost", registry.grpc) } });
    let iam = TestService::start_on::<Iam>(TestDb::of::<Iam>().await, keys.clone(), set).await;
    let gateway = gateway(&keys, &files("gateway"), &registry, &iam);
    let (url, client) = (format!("http://{}", gateway.http), client());
    tokio::spawn(gateway.run());

    let send = async |key: &str, method: Method, path: &str, body: Value| {
        let request = client.request(method, format!("{url}/api/v1{path}")).bearer_auth(key).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let platform = json!({ "name": "Acme", "slug": "acme" });
    let (status, platform) = send(KEY, Method::POST, "/platforms", platform).await;
    assert_eq!(status, StatusCode::CREATED, "{platform}");
    let key = json!({ "name": "ci", "role": "viewer", "platformId": platform["id"] });
    let (status, key) = send(KEY, Method::POST, "/iam/keys", key).await;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    let (status, visible) = send(key["key"].as_str().unwrap(), Method::GET, "/platforms", Value::Null).await;
    assert_eq!((status, &visible["data"][0]["id"]), (StatusCode::OK, &platform["id"]));
    let ready: Value = client.get(format!("{url}/ready")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&ready["checks"]["registry"], &ready["checks"]["iam"]), (&json!("ok"), &json!("ok")));
}

const KEY: &str = "the-key-of-the-operator";

fn gateway(keys: &Keys, tls: &Value, registry: &TestService, iam: &TestService) -> Gateway {
    let unreachable = json!({ "url": "https://localhost:9" });
    let set = json!({
        "http": { "bind": "127.0.0.1:0", "workers": 1 },
        "identity": { "keys_dir": keys.dir() },
        "tls": tls,
        "service": {
            "operator_key": KEY,
            "iam": at("localhost", iam.grpc),
            "upstreams": {
                "registry": at("localhost", registry.http), "iam": at("localhost", iam.http),
                "stack_registry": unreachable, "onboarding": unreachable, "provisioning": unreachable,
            },
        },
    });
    let settings = config::with_overrides(gateway::DEFAULTS, set).unwrap();
    Gateway::build(settings, Shutdown::new()).unwrap()
}

#[tokio::test]
async fn inconsistent_tls_settings_are_rejected() {
    let (authority, folder, keys) = (Authority::new(), tempfile::tempdir().unwrap(), Keys::new());
    let files = authority.files(folder.path(), "localhost");
    let error_of = |changes: Value| {
        let mut files = files.clone();
        config::merge(&mut files, changes);
        format!("{:#}", Tls::read(&config::read(files).unwrap()).unwrap_err())
    };
    for (changes, part) in [
        (json!({ "private_key": "" }), "together"),
        (json!({ "authority": "" }), "together"),
        (json!({ "certificate": "/nowhere.crt" }), "/nowhere.crt"),
        (json!({ "certificate": files["private_key"] }), "contains no certificate"),
        (json!({ "private_key": files["certificate"] }), "no private key"),
        (json!({ "private_key": different_key(folder.path()) }), "does not belong to the certificate"),
        (json!({ "reread_every": "0s" }), "reread_every"),
    ] {
        let error = error_of(changes.clone());
        assert!(error.contains(part) && !error.contains("PRIVATE"), "{changes}: {error}");
    }
    let tls = Tls::read(&config::read(files.clone()).unwrap()).unwrap();
    for (tls, url) in [(tls, "http://localhost:1"), (None, "https://localhost:1")] {
        let peers = Peers { signer: keys.signer("iam"), tls };
        let error =
            format!("{:#}", peers.peer("registry", &PeerSettings { url: url.to_owned() }).unwrap_err());
        assert!(error.contains("registry") && error.contains("must begin with"), "{error}");
    }
}

/// Returns the private key of a different certificate.
fn different_key(folder: &Path) -> Value {
    Authority::new().files(&folder.join("other"), "localhost")["private_key"].clone()
}
