//! `nno up` and SIGHUP: reloaded settings, and a closed terminal.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, openpty},
    sys::signal::Signal,
};
use reqwest::Method;

use crate::{
    documentation::{blocks, documentation},
    system::{TestSystem, Up, eventually},
};

const RELOADED: &str = "reloaded the settings";

fn write(system: &TestSystem, settings: &str) -> PathBuf {
    let path = system.path().join("nno.toml");
    fs::write(&path, settings).unwrap();
    path
}

fn command(system: &TestSystem, file: &Path) -> Command {
    let mut command = system.command();
    command.env("NNO_CONFIG_FILE", file);
    command
}

async fn status(up: &Up, key: &str) -> u16 {
    let request = testkit::client().get(format!("{}/api/v1/platforms", up.url)).bearer_auth(key);
    request.send().await.unwrap().status().as_u16()
}

/// Sends SIGHUP and waits until the outcome is in the log.
async fn reload(up: &Up, outcome: &str) {
    let before = up.log().matches(outcome).count();
    up.send(Signal::SIGHUP);
    eventually(outcome, async || up.log().matches(outcome).count() > before).await;
}

/// Creates `count` tenants and returns the status codes.
async fn create_tenants(up: &Up, platform: &str, count: usize) -> Vec<u16> {
    let path = format!("/api/v1/platforms/{platform}/entities");
    let mut statuses = Vec::new();
    for n in 0..count {
        let body = serde_json::json!({ "type": "tenant", "name": "T", "slug": format!("t-{n}") });
        statuses.push(up.call(Method::POST, &path, Some(body)).await.unwrap().0);
    }
    statuses
}

#[tokio::test]
async fn sighup_reloads_settings_and_the_operator_key() {
    let system = TestSystem::new();
    let origin = "https://app.example.com";
    let file = write(&system, "[gateway.service]\nmax_uri_bytes = 1000\n");
    let up = system.start_with(command(&system, &file)).await;
    let key = up.operator_key();
    let long = format!("/api/v1/platforms?x={}", "x".repeat(1000));
    assert_eq!(up.call(Method::GET, &long, None).await.unwrap().0, 414);

    write(&system, &format!("[gateway.service]\ncors.origins = [\"{origin}\"]\n"));
    reload(&up, RELOADED).await;
    assert_eq!(up.call(Method::GET, &long, None).await.unwrap().0, 200);
    let request = testkit::client().get(format!("{}/health", up.url)).header("Origin", origin);
    assert_eq!(request.send().await.unwrap().headers()["access-control-allow-origin"], origin);

    // A file with one invalid setting changes nothing.
    for invalid in
        ["[gateway.service]\nmax_uri_byte = 1", "[getaway]", "[gateway.http]\nbind = \"0.0.0.0:1\"", "["]
    {
        write(
            &system,
            &format!(
                "{invalid}\n[gateway.service.limits]\nper_address_per_second = 1\nper_address_burst = 1\n"
            ),
        );
        reload(&up, "the previous ones stay in use").await;
    }
    assert_eq!((status(&up, &key).await, status(&up, &key).await), (200, 200));

    // Settings of other processes take effect at their start.
    write(&system, "[registry.service]\nquotas.starter.tenants = 1\n");
    reload(&up, "take effect after a restart").await;
    assert!(up.log().contains("\"processes\":\"registry\""), "{}", up.log());

    let other = "another-key-of-the-operator";
    fs::write(system.data().join("operator-key"), other).unwrap();
    reload(&up, RELOADED).await;
    assert_eq!((status(&up, &key).await, status(&up, other).await), (401, 200));
    fs::write(system.data().join("operator-key"), "short").unwrap();
    reload(&up, "the previous ones stay in use").await;
    assert_eq!((status(&up, "short").await, status(&up, other).await), (401, 200));
    assert!(![key.as_str(), other].iter().any(|key| up.log().contains(key)), "no key is logged");
    up.stop().await;
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn every_process_gets_its_settings() {
    let system = TestSystem::new();
    let page = documentation("docs/operator-guide/single-machine.md");
    let settings = blocks(&page).into_iter().find(|block| block.info == "toml nno-up").unwrap().text;
    assert!(settings.contains("tenants = 5"), "{settings}");
    let file = write(&system, &settings);
    let mut up = system.start_with(command(&system, &file)).await;
    let platform = up.create_platform("acme").await;
    let admin = serde_json::json!({ "name": "admin", "role": "platform-admin", "platformId": platform });
    let (_, created) = up.call(Method::POST, "/api/v1/iam/keys", Some(admin)).await.unwrap();
    up.key = Some(created["key"].as_str().unwrap().to_owned());
    assert_eq!(create_tenants(&up, &platform, 6).await, [201, 201, 201, 201, 201, 429]);
    let policy = up.header("/api/v1/iam/whoami", "ratelimit-policy").await;
    assert!(policy.starts_with("\"caller\";q=1000;w=10"), "{policy}");
    up.stop().await;
}

#[tokio::test]
async fn sighup_without_a_terminal_does_not_stop_the_system() {
    let system = TestSystem::new();
    let up = system.start().await;
    reload(&up, RELOADED).await;
    assert_eq!(up.get("/ready").await["status"], "ready");
    up.stop().await;
}

/// Starts the system with a controlling terminal, which closes when the returned file is dropped.
fn start_on_terminal(system: &TestSystem, wrapper: &[&str]) -> (Up, File) {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    // The started process would hold the terminal open otherwise.
    fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    let nno = system.command();
    // The leader of a new session, which gets the terminal.
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(wrapper).arg(nno.get_program()).args(nno.get_args());
    command.current_dir(system.path());
    for (name, value) in nno.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    (system.spawn_with(command, Stdio::from(slave)), File::from(master))
}

#[tokio::test]
async fn closed_terminal_stops_in_order_and_sighup_on_an_open_one_does_not() {
    let system = TestSystem::new();
    let (mut up, terminal) = start_on_terminal(&system, &[]);
    up.wait_until_ready().await;
    reload(&up, RELOADED).await;
    assert_eq!(up.get("/ready").await["status"], "ready");
    drop(terminal);
    eventually("it is stopping", async || up.log().contains("\"signal\":\"SIGHUP\"")).await;
    // The shell sends the signal too.
    up.send(Signal::SIGHUP);
    assert_eq!(up.wait().await.code(), Some(0), "{}", up.log());
    assert_eq!(system.processes(), [""; 0]);
    system.start().await.stop().await;
}

#[tokio::test]
async fn system_under_nohup_outlives_its_terminal() {
    let system = TestSystem::new();
    let (mut up, terminal) = start_on_terminal(&system, &["nohup"]);
    up.wait_until_ready().await;
    let before = up.log().matches(RELOADED).count();
    drop(terminal);
    eventually("the signal is handled", async || up.log().matches(RELOADED).count() > before).await;
    reload(&up, RELOADED).await;
    assert_eq!(up.get("/ready").await["status"], "ready");
    up.stop().await;
}

#[tokio::test]
async fn invalid_settings_file_is_rejected_before_the_start() {
    let system = TestSystem::new();
    for (settings, why) in [
        ("[getaway]", "getaway is not a table of a process"),
        ("x = [", "the settings file"),
        (
            "[registry.grpc]\nbind = \"127.0.0.1:1\"",
            "`nno up` sets these itself, so remove them from the settings file: registry.grpc.bind",
        ),
        ("[gateway.service]\noperator_key = \"a-key-in-the-file\"", "gateway.service.operator_key"),
        ("[iam.telemetry]\nlog = \"debug\"", "iam.telemetry.log"),
        ("[gateway.service]\nmax_uri_byte = 1", "max_uri_byte: is not a known field"),
        ("[stack-registry.grcp]", "grcp: is not a known field"),
        ("[provisioning.service.domains]\ncheck_every = 3", "provisioning: "),
    ] {
        let file = write(&system, settings);
        let output = system.run_to_exit(command(&system, &file));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(why) && !errors.contains("a-key-in-the-file"), "{errors}");
    }
    let missing = system.run_to_exit(command(&system, &system.path().join("gone.toml")));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("gone.toml"));
    assert!(!system.data().join("postgres").exists());
}
