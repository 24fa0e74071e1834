//! `nno up` and SIGHUP: settings read anew, and the end of a terminal.

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
    page::{blocks, documentation},
    system::{Place, Up, eventually},
};

const READ: &str = "reloaded the settings";

fn write(place: &Place, settings: &str) -> PathBuf {
    let path = place.path().join("nno.toml");
    fs::write(&path, settings).unwrap();
    path
}

fn command(place: &Place, file: &Path) -> Command {
    let mut command = place.command();
    command.env("NNO_CONFIG_FILE", file);
    command
}

async fn status(up: &Up, key: &str) -> u16 {
    let request = testkit::client().get(format!("{}/api/v1/platforms", up.url)).bearer_auth(key);
    request.send().await.unwrap().status().as_u16()
}

/// Has it read its settings anew, and waits until it says what came of it.
async fn hang_up(up: &Up, told: &str) {
    let before = up.log().matches(told).count();
    up.send(Signal::SIGHUP);
    eventually(told, async || up.log().matches(told).count() > before).await;
}

/// What comes of making `count` tenants.
async fn tenants(up: &Up, platform: &str, count: usize) -> Vec<u16> {
    let path = format!("/api/v1/platforms/{platform}/entities");
    let mut statuses = Vec::new();
    for n in 0..count {
        let body = serde_json::json!({ "type": "tenant", "name": "T", "slug": format!("t-{n}") });
        statuses.push(up.ask(Method::POST, &path, Some(body)).await.unwrap().0);
    }
    statuses
}

#[tokio::test]
async fn a_hang_up_has_settings_and_the_operator_s_key_read_anew() {
    let place = Place::new();
    let origin = "https://app.example.com";
    let file = write(&place, "[gateway.service]\nmax_uri_bytes = 1000\n");
    let up = place.up_with(command(&place, &file)).await;
    let key = up.operator_key();
    let long = format!("/api/v1/platforms?x={}", "x".repeat(1000));
    assert_eq!(up.ask(Method::GET, &long, None).await.unwrap().0, 414);

    write(&place, &format!("[gateway.service]\ncors.origins = [\"{origin}\"]\n"));
    hang_up(&up, READ).await;
    assert_eq!(up.ask(Method::GET, &long, None).await.unwrap().0, 200);
    let request = testkit::client().get(format!("{}/health", up.url)).header("Origin", origin);
    assert_eq!(request.send().await.unwrap().headers()["access-control-allow-origin"], origin);

    // What cannot be used changes nothing, whatever is good beside it.
    for wrong in
        ["[gateway.service]\nmax_uri_byte = 1", "[getaway]", "[gateway.http]\nbind = \"0.0.0.0:1\"", "["]
    {
        write(
            &place,
            &format!(
                "{wrong}\n[gateway.service.limits]\nper_address_per_second = 1\nper_address_burst = 1\n"
            ),
        );
        hang_up(&up, "the ones before still hold").await;
    }
    assert_eq!((status(&up, &key).await, status(&up, &key).await), (200, 200));

    // What other processes are told is for their start.
    write(&place, "[registry.service]\nquotas.starter.tenants = 1\n");
    hang_up(&up, "take effect after a restart").await;
    assert!(up.log().contains("\"processes\":\"registry\""), "{}", up.log());

    let other = "another-key-of-the-operator";
    fs::write(place.data().join("operator-key"), other).unwrap();
    hang_up(&up, READ).await;
    assert_eq!((status(&up, &key).await, status(&up, other).await), (401, 200));
    fs::write(place.data().join("operator-key"), "short").unwrap();
    hang_up(&up, "the ones before still hold").await;
    assert_eq!((status(&up, "short").await, status(&up, other).await), (401, 200));
    assert!(![key.as_str(), other].iter().any(|key| up.log().contains(key)), "no key is logged");
    up.stop().await;
    assert_eq!(place.processes(), [""; 0]);
}

#[tokio::test]
async fn every_process_is_told_its_settings() {
    let place = Place::new();
    let page = documentation("docs/operator-guide/single-machine.md");
    let settings = blocks(&page).into_iter().find(|block| block.info == "toml nno-up").unwrap().text;
    assert!(settings.contains("tenants = 5"), "{settings}");
    let file = write(&place, &settings);
    let mut up = place.up_with(command(&place, &file)).await;
    let platform = up.make_platform("acme").await;
    let admin = serde_json::json!({ "name": "admin", "role": "platform-admin", "platformId": platform });
    let (_, made) = up.ask(Method::POST, "/api/v1/iam/keys", Some(admin)).await.unwrap();
    up.key = Some(made["key"].as_str().unwrap().to_owned());
    assert_eq!(tenants(&up, &platform, 6).await, [201, 201, 201, 201, 201, 429]);
    let policy = up.header("/api/v1/iam/whoami", "ratelimit-policy").await;
    assert!(policy.starts_with("\"caller\";q=1000;w=10"), "{policy}");
    up.stop().await;
}

#[tokio::test]
async fn without_a_terminal_a_hang_up_ends_nothing() {
    let place = Place::new();
    let up = place.up().await;
    hang_up(&up, READ).await;
    assert_eq!(up.get("/ready").await["status"], "ready");
    up.stop().await;
}

/// A start on a terminal that closes when what is returned with it is dropped.
fn on_a_terminal(place: &Place, ahead: &[&str]) -> (Up, File) {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    // Else what is started would hold it open itself.
    fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    let nno = place.command();
    // The first program of a new session: the terminal is its own.
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(ahead).arg(nno.get_program()).args(nno.get_args());
    command.current_dir(place.path());
    for (name, value) in nno.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    (place.spawn_with(command, Stdio::from(slave)), File::from(master))
}

#[tokio::test]
async fn a_closed_terminal_ends_it_in_order_and_a_hang_up_on_an_open_one_does_not() {
    let place = Place::new();
    let (mut up, terminal) = on_a_terminal(&place, &[]);
    up.wait_until_ready().await;
    hang_up(&up, READ).await;
    assert_eq!(up.get("/ready").await["status"], "ready");
    drop(terminal);
    eventually("it is stopping", async || up.log().contains("\"signal\":\"SIGHUP\"")).await;
    // As the shell does beside the system.
    up.send(Signal::SIGHUP);
    assert_eq!(up.ended().await.code(), Some(0), "{}", up.log());
    assert_eq!(place.processes(), [""; 0]);
    place.up().await.stop().await;
}

#[tokio::test]
async fn with_nohup_it_outlives_its_terminal() {
    let place = Place::new();
    let (mut up, terminal) = on_a_terminal(&place, &["nohup"]);
    up.wait_until_ready().await;
    let before = up.log().matches(READ).count();
    drop(terminal);
    eventually("it is told", async || up.log().matches(READ).count() > before).await;
    hang_up(&up, READ).await;
    assert_eq!(up.get("/ready").await["status"], "ready");
    up.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_before_anything_is_started() {
    let place = Place::new();
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
        let file = write(&place, settings);
        let output = place.refused(command(&place, &file));
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(why) && !told.contains("a-key-in-the-file"), "{told}");
    }
    let gone = place.refused(command(&place, &place.path().join("gone.toml")));
    assert!(String::from_utf8(gone.stderr).unwrap().contains("gone.toml"));
    assert!(!place.data().join("postgres").exists());
}
