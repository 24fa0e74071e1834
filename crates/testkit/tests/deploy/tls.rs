//! Processes that show each other certificates.

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
use testkit::{Authority, Keys, TestDb, TestService, believing, client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use web::{check_ready, healthcheck};

/// A process that is reached as `localhost`, and what it was told.
struct World {
    authority: Authority,
    folder: TempDir,
    registry: TestService,
}

impl World {
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let set = json!({
            "tls": authority.files(&folder.path().join("registry"), "localhost"),
            "service": everyone("https://localhost:9"),
        });
        let registry = TestService::start_with::<Registry>(set).await;
        Self { authority, folder, registry }
    }

    /// What a process shows that has these files.
    fn shows(&self, files: &Value) -> Tls {
        Tls::read(&config::read(files.clone()).unwrap()).unwrap().unwrap()
    }

    fn believed(&self) -> Tls {
        self.shows(&self.authority.files(&self.folder.path().join("client"), "localhost"))
    }

    /// Whether the registry lets in who shows this, over HTTP and over gRPC.
    async fn lets_in(&self, tls: &Tls) -> [bool; 2] {
        let http = check_ready("localhost", self.registry.http.port(), Some(tls)).await.is_ok();
        let peers = Peers { signer: self.registry.keys.signer("iam"), tls: Some(tls.clone()) };
        let grpc = peers.peer("registry", &at("localhost", self.registry.grpc)).unwrap().ping().await.is_ok();
        [http, grpc]
    }
}

fn everyone(url: &str) -> Value {
    let there = json!({ "url": url });
    json!({ "stack_registry": there, "provisioning": there, "onboarding": there })
}

fn at(host: &str, address: SocketAddr) -> PeerSettings {
    PeerSettings { url: format!("https://{host}:{}", address.port()) }
}

#[tokio::test]
async fn who_shows_no_certificate_of_the_authority_is_not_let_in() {
    let world = World::start().await;
    let folder = world.folder.path();
    assert_eq!(world.lets_in(&world.believed()).await, [true; 2]);
    // Of another authority; and it believes ours, so that it is not the client that hangs up.
    let mut files = Authority::new().files(&folder.join("stranger"), "localhost");
    files["authority"] = json!(folder.join("client/ca.crt"));
    assert_eq!(world.lets_in(&world.shows(&files)).await, [false; 2]);
    let expired = world.authority.files_until(&folder.join("expired"), "localhost", 2020);
    assert_eq!(world.lets_in(&world.shows(&expired)).await, [false; 2]);
    for address in [world.registry.http, world.registry.grpc] {
        let url = format!("localhost:{}/health", address.port());
        let nothing_to_show = believing(Some(&folder.join("client/ca.crt")));
        nothing_to_show.get(format!("https://{url}")).send().await.unwrap_err();
        client().get(format!("http://{url}")).send().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_server_must_be_who_was_called() {
    let world = World::start().await;
    let (http, grpc, tls) = (world.registry.http, world.registry.grpc, world.believed());
    assert!(check_ready("127.0.0.1", http.port(), Some(&tls)).await.is_err());
    let peers = Peers { signer: world.registry.keys.signer("iam"), tls: Some(tls.clone()) };
    assert!(peers.peer("registry", &at("127.0.0.1", grpc)).unwrap().ping().await.is_err());
    // A process that asks itself does so at an address, which its certificate need not hold.
    healthcheck(http, Some(tls)).await.unwrap();
    let stranger = Authority::new().files(&world.folder.path().join("stranger"), "localhost");
    assert!(healthcheck(http, Some(world.shows(&stranger))).await.is_err());
}

#[tokio::test]
async fn certificates_change_without_a_restart() {
    let world = World::start().await;
    let (old, own) = (world.believed(), world.folder.path().join("registry"));
    let peers = Peers { signer: world.registry.keys.signer("iam"), tls: Some(old.clone()) };
    let kept = peers.peer("registry", &at("localhost", world.registry.grpc)).unwrap();
    kept.ping().await.unwrap();
    // Half of a change cannot be used, and what is not read does no harm.
    std::fs::write(own.join("tls.crt"), "no certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.lets_in(&old).await, [true; 2]);
    let next = Authority::new();
    next.files(&own, "localhost");
    let new = world.shows(&next.files(&world.folder.path().join("next"), "localhost"));
    eventually(async || world.lets_in(&new).await == [true; 2]).await;
    assert_eq!(world.lets_in(&old).await, [false; 2]);
    kept.ping().await.unwrap();
}

async fn eventually(is_so: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not in five seconds");
}

#[tokio::test]
async fn nobody_waits_for_a_handshake_that_does_not_come() {
    let world = World::start().await;
    let mut silent = Vec::new();
    for address in [world.registry.http, world.registry.grpc] {
        for _ in 0..50 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
    }
    assert_eq!(world.lets_in(&world.believed()).await, [true; 2]);
    // And they are not waited for without end.
    let mut answer = Vec::new();
    silent.pop().unwrap().read_to_end(&mut answer).await.unwrap();
    let mut babbling = TcpStream::connect(world.registry.grpc).await.unwrap();
    babbling.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let _ = babbling.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn the_whole_way_is_encrypted() {
    let (authority, folder, keys) = (Authority::new(), tempfile::tempdir().unwrap(), Keys::new());
    let files = |name: &str| authority.files(&folder.path().join(name), "localhost");
    let set = json!({ "tls": files("registry"), "service": everyone("https://localhost:9") });
    let registry = TestService::start_on::<Registry>(TestDb::of::<Registry>().await, keys.clone(), set).await;
    let set = json!({ "tls": files("iam"), "service": { "registry": at("localhost", registry.grpc) } });
    let iam = TestService::start_on::<Iam>(TestDb::of::<Iam>().await, keys.clone(), set).await;
    let gateway = gateway(&keys, &files("gateway"), &registry, &iam);
    let (url, client) = (format!("http://{}", gateway.http), client());
    tokio::spawn(gateway.run());

    let ask = async |key: &str, method: Method, path: &str, body: Value| {
        let request = client.request(method, format!("{url}/api/v1{path}")).bearer_auth(key).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let platform = json!({ "name": "Acme", "slug": "acme" });
    let (status, platform) = ask(KEY, Method::POST, "/platforms", platform).await;
    assert_eq!(status, StatusCode::CREATED, "{platform}");
    let key = json!({ "name": "ci", "role": "viewer", "platformId": platform["id"] });
    let (status, key) = ask(KEY, Method::POST, "/iam/keys", key).await;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    let (status, seen) = ask(key["key"].as_str().unwrap(), Method::GET, "/platforms", Value::Null).await;
    assert_eq!((status, &seen["data"][0]["id"]), (StatusCode::OK, &platform["id"]));
    let ready: Value = client.get(format!("{url}/ready")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&ready["checks"]["registry"], &ready["checks"]["iam"]), (&json!("ok"), &json!("ok")));
}

const KEY: &str = "the-key-of-the-operator";

fn gateway(keys: &Keys, tls: &Value, registry: &TestService, iam: &TestService) -> Gateway {
    let nobody = json!({ "url": "https://localhost:9" });
    let set = json!({
        "http": { "bind": "127.0.0.1:0", "workers": 1 },
        "identity": { "keys_dir": keys.dir() },
        "tls": tls,
        "service": {
            "operator_key": KEY,
            "iam": at("localhost", iam.grpc),
            "upstreams": {
                "registry": at("localhost", registry.http), "iam": at("localhost", iam.http),
                "stack_registry": nobody, "onboarding": nobody, "provisioning": nobody,
            },
        },
    });
    let settings = config::with_overrides(gateway::DEFAULTS, set).unwrap();
    Gateway::build(settings, Shutdown::new()).unwrap()
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_told() {
    let (authority, folder, keys) = (Authority::new(), tempfile::tempdir().unwrap(), Keys::new());
    let files = authority.files(folder.path(), "localhost");
    let told = |over: Value| {
        let mut files = files.clone();
        config::merge(&mut files, over);
        format!("{:#}", Tls::read(&config::read(files).unwrap()).unwrap_err())
    };
    for (over, part) in [
        (json!({ "private_key": "" }), "together"),
        (json!({ "authority": "" }), "together"),
        (json!({ "certificate": "/nowhere.crt" }), "/nowhere.crt"),
        (json!({ "certificate": files["private_key"] }), "contains no certificate"),
        (json!({ "private_key": files["certificate"] }), "no private key"),
        (json!({ "private_key": another_key(folder.path()) }), "is not the certificate's"),
        (json!({ "reread_every": "0s" }), "reread_every"),
    ] {
        let told = told(over.clone());
        assert!(told.contains(part) && !told.contains("PRIVATE"), "{over}: {told}");
    }
    let tls = Tls::read(&config::read(files.clone()).unwrap()).unwrap();
    for (tls, url) in [(tls, "http://localhost:1"), (None, "https://localhost:1")] {
        let peers = Peers { signer: keys.signer("iam"), tls };
        let told =
            format!("{:#}", peers.peer("registry", &PeerSettings { url: url.to_owned() }).unwrap_err());
        assert!(told.contains("registry") && told.contains("must begin with"), "{told}");
    }
}

/// Of another certificate.
fn another_key(folder: &Path) -> Value {
    Authority::new().files(&folder.join("other"), "localhost")["private_key"].clone()
}
