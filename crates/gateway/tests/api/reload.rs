//! Reload of settings while the gateway runs.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::ReservedPort;
use tokio::time::sleep;

use crate::world::{KEY, World, error_of, keys};

const PATH: &str = "/api/v1/platforms";
const OTHER: &str = "another-key-of-the-operator";

async fn status(world: &World, key: &str) -> u16 {
    world.anonymous(Method::GET, PATH).bearer_auth(key).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn reloaded_settings_apply_at_once() {
    let world = World::new(json!({}));
    assert_eq!((status(&world, KEY).await, status(&world, OTHER).await), (200, 401));
    let origin = "https://app.example.com";
    world
        .reload(json!({ "service": {
            "operator_key": OTHER,
            "cors": { "origins": origin },
            "limits": { "per_address_per_second": 1, "per_address_burst": 3 },
            "upstreams": { "onboarding": { "url": "http://127.0.0.1:9" } },
        }}))
        .unwrap();
    let request = || world.anonymous(Method::GET, PATH).bearer_auth(OTHER);
    let response = request().header("Origin", origin).send().await.unwrap();
    assert_eq!((response.status().as_u16(), status(&world, KEY).await), (200, 401));
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    let moved = world.anonymous(Method::GET, "/api/v1/onboarding").bearer_auth(OTHER).send().await.unwrap();
    assert_eq!(error_of(moved).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(request().send().await.unwrap().status(), 429);
}

#[tokio::test]
async fn invalid_settings_change_nothing() {
    let world = World::new(json!({}));
    let bad: [(Value, &str); 6] = [
        (json!({ "operator_key": "short" }), "operator_key"),
        (json!({ "upstreams": { "registry": { "url": "nowhere" } } }), "registry"),
        (json!({ "cors": { "origins": ["*"] } }), "cors"),
        (json!({ "limits": { "trusted_proxies": ["everyone"] } }), "trusted_proxies"),
        (json!({ "oidc": { "issuers": { "a": { "issuer": "x", "audiences": ["y"] } } } }), "issuers.a"),
        (json!({ "iam": { "url": "not a url" } }), "iam"),
    ];
    for (mut service, part) in bad {
        // A valid setting next to the invalid one must not be applied either.
        if service.get("operator_key").is_none() {
            service["operator_key"] = json!(OTHER);
        }
        let error = format!("{:#}", world.reload(json!({ "service": service })).unwrap_err());
        assert!(error.contains(part), "{error}");
        assert_eq!((status(&world, KEY).await, status(&world, OTHER).await), (200, 401), "{part}");
    }
}

#[tokio::test]
async fn sections_that_need_a_restart_are_reported() {
    let world = World::new(json!({}));
    assert!(world.reload(json!({})).unwrap().is_empty());
    let other = json!({ "http": { "workers": 7 }, "telemetry": { "log": "debug" } });
    assert_eq!(world.reload(other).unwrap(), ["http", "telemetry"]);
}

/// A gateway process, which ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Process {
    fn start(file: &Path, log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.arg("--config").arg(file).arg("serve");
        let log = fs::File::create(log).unwrap();
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap())
    }

    fn send_sighup(&self) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGHUP).unwrap();
    }
}

#[tokio::test]
async fn process_reloads_its_file_on_sighup() {
    let keys = keys();
    let (file, log) = (keys.path().join("gateway.toml"), keys.path().join("gateway.log"));
    let held = ReservedPort::new();
    let at = held.address;
    let write = |service: &str| {
        let text = format!(
            "[http]\nbind = \"{at}\"\nworkers = 1\n[identity]\nkeys_dir = \"{}\"\n[service]\n{service}\n\
             [service.upstreams.registry]\nurl = \"http://127.0.0.1:9\"\n",
            keys.path().display()
        );
        fs::write(&file, text).unwrap();
    };
    let client = testkit::client();
    let ask = async |key: &str| {
        let response = client.get(format!("http://{at}{PATH}")).bearer_auth(key).send().await;
        response.map_or(0, |response| response.status().as_u16())
    };
    let becomes = async |key: &str, status: u16| {
        for _ in 0..500 {
            if ask(key).await == status {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("not {status} in ten seconds: {}", fs::read_to_string(&log).unwrap());
    };
    write(&format!("operator_key = \"{KEY}\""));
    let process = Process::start(&file, &log);
    becomes(KEY, 503).await;
    write(&format!("operator_key = \"{OTHER}\""));
    process.send_sighup();
    becomes(OTHER, 503).await;
    assert_eq!(ask(KEY).await, 401);
    write("operator_key = \"too-short-a-key\"\nmax_uri_byte = 3");
    process.send_sighup();
    for _ in 0..500 {
        if fs::read_to_string(&log).unwrap().contains("the previous ones stay in use") {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("max_uri_byte"), "{text}");
    assert!(![KEY, OTHER, "too-short-a-key"].iter().any(|key| text.contains(key)), "no key is logged");
    assert_eq!((ask(OTHER).await, ask(KEY).await), (503, 401));
}
