use std::process::Command;

use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::geteuid,
};
use reqwest::Method;
use serde_json::json;
use testkit::HeldPort;

use crate::{
    person::mode,
    system::{Place, Up},
};

/// What a fresh system must be like, whoever runs it.
async fn look_at_fresh(place: &Place, up: &Up) {
    let (data, key) = (place.data().canonicalize().unwrap(), up.operator_key());
    let line = format!("operator key: in {}/operator-key", data.display());
    assert!(up.said.contains(&line), "{:?}", up.said);
    assert!(!up.said.join("\n").contains(&key) && !up.log().contains(&key), "the key is not printed");
    assert_eq!(key.len(), 64);
    assert_eq!(mode(&data.join("operator-key")), 0o600);
    for folder in ["secrets", "keys/private"] {
        assert_eq!(mode(&data.join(folder)), 0o700, "{folder}");
        let files: Vec<_> = data.join(folder).read_dir().unwrap().flatten().collect();
        assert!(files.len() >= 5 && files.iter().all(|file| mode(&file.path()) == 0o600), "{files:?}");
    }
    let ready = up.get("/ready").await;
    let checks = json!({
        "circuits": "ok", "iam": "ok", "onboarding": "ok", "provisioning": "ok", "registry": "ok", "revocations": "ok",
        "stack-registry": "ok",
    });
    assert_eq!(ready, json!({ "status": "ready", "checks": checks }));
    let stranger = testkit::client().get(format!("{}/api/v1/platforms", up.url)).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let id = up.make_platform("acme").await;
    assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["slug"], "acme");
}

#[tokio::test]
async fn a_fresh_system_is_ready_for_its_operator_and_for_nobody_else() {
    let place = Place::new();
    let held = HeldPort::new();
    let port = held.address.port();
    let mut command = place.command();
    command.env("NNO_PORT", port.to_string());
    let up = place.up_with(command).await;
    assert_eq!(up.said.last(), Some(&format!("nno is ready: http://127.0.0.1:{port}")));
    look_at_fresh(&place, &up).await;
    up.stop().await;
    assert_eq!(place.processes(), [""; 0]);

    let again = place.up().await;
    let (_, listed) = again.ask(Method::GET, "/api/v1/platforms", None).await.unwrap();
    assert_eq!(listed["data"][0]["slug"], "acme", "{listed}");
    again.stop().await;
}

#[tokio::test]
async fn an_ordinary_user_needs_no_help_of_root() {
    if !geteuid().is_root() {
        // All other tests have shown it.
        return;
    }
    let place = Place::of_nobody();
    let up = place.up().await;
    look_at_fresh(&place, &up).await;
    up.stop().await;
    assert_eq!(place.processes(), [""; 0]);
}

#[tokio::test]
async fn two_systems_run_side_by_side() {
    let (one, two) = (Place::new(), Place::new());
    let (first, second) = tokio::join!(one.up(), two.up());
    assert_ne!(first.url, second.url);
    assert_ne!(first.operator_key(), second.operator_key());
    let id = first.make_platform("acme").await;
    let (status, _) = second.ask(Method::GET, &format!("/api/v1/platforms/{id}"), None).await.unwrap();
    assert_eq!(status, 404);
    second.make_platform("acme").await;
    second.stop().await;
    assert_eq!(first.get("/ready").await["status"], "ready");
    first.stop().await;
}

#[tokio::test]
async fn a_key_that_was_given_is_not_written_down() {
    let place = Place::new();
    let key = "the-key-of-this-test";
    let mut command = place.command();
    command.env("NNO_OPERATOR_KEY", key).env("NNO_LOG", "debug");
    let up = place.up_with(command).await;
    let request = testkit::client().get(format!("{}/api/v1/platforms", up.url)).bearer_auth(key);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert!(!place.data().join("operator-key").exists());
    assert!(!up.said.join("\n").contains(key) && !up.log().contains(key));
    up.stop().await;
}

#[tokio::test]
async fn it_may_have_more_files_open_than_a_shell() {
    let place = Place::new();
    let command = place.command();
    let mut within = Command::new("sh");
    within
        .args(["-c", "ulimit -Sn 500; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    within.current_dir(place.path());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    let up = place.up_with(within).await;
    let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    assert_eq!(up.limit("Max open files"), hard.min(65_536));
    up.stop().await;
}
