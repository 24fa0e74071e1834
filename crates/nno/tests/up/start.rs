use std::process::Command;

use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::geteuid,
};
use reqwest::Method;
use serde_json::json;
use testkit::ReservedPort;

use crate::{
    system::{TestSystem, Up},
    user::mode,
};

/// Asserts the state of a new system.
async fn assert_new_system(system: &TestSystem, up: &Up) {
    let (data, key) = (system.data().canonicalize().unwrap(), up.operator_key());
    let line = format!("operator key: in {}/operator-key", data.display());
    assert!(up.stdout.contains(&line), "{:?}", up.stdout);
    assert!(!up.stdout.join("\n").contains(&key) && !up.log().contains(&key), "the key is not printed");
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
    let unauthorized = testkit::client().get(format!("{}/api/v1/platforms", up.url)).send().await.unwrap();
    assert_eq!(unauthorized.status(), 401);
    let id = up.create_platform("acme").await;
    assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["slug"], "acme");
}

#[tokio::test]
async fn new_system_serves_only_its_operator() {
    let system = TestSystem::new();
    let reserved = ReservedPort::new();
    let port = reserved.address.port();
    let mut command = system.command();
    command.env("NNO_PORT", port.to_string());
    let up = system.start_with(command).await;
    assert_eq!(up.stdout.last(), Some(&format!("nno is ready: http://127.0.0.1:{port}")));
    assert_new_system(&system, &up).await;
    up.stop().await;
    assert_eq!(system.processes(), [""; 0]);

    let again = system.start().await;
    let (_, listed) = again.call(Method::GET, "/api/v1/platforms", None).await.unwrap();
    assert_eq!(listed["data"][0]["slug"], "acme", "{listed}");
    again.stop().await;
}

#[tokio::test]
async fn unprivileged_user_can_run_the_system() {
    if !geteuid().is_root() {
        // All other tests run as an unprivileged user then.
        return;
    }
    let system = TestSystem::owned_by_nobody();
    let up = system.start().await;
    assert_new_system(&system, &up).await;
    up.stop().await;
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn two_systems_run_at_the_same_time() {
    let (one, two) = (TestSystem::new(), TestSystem::new());
    let (first, second) = tokio::join!(one.start(), two.start());
    assert_ne!(first.url, second.url);
    assert_ne!(first.operator_key(), second.operator_key());
    let id = first.create_platform("acme").await;
    let (status, _) = second.call(Method::GET, &format!("/api/v1/platforms/{id}"), None).await.unwrap();
    assert_eq!(status, 404);
    second.create_platform("acme").await;
    second.stop().await;
    assert_eq!(first.get("/ready").await["status"], "ready");
    first.stop().await;
}

#[tokio::test]
async fn given_operator_key_is_not_stored_or_printed() {
    let system = TestSystem::new();
    let key = "the-key-of-this-test";
    let mut command = system.command();
    command.env("NNO_OPERATOR_KEY", key).env("NNO_LOG", "debug");
    let up = system.start_with(command).await;
    let request = testkit::client().get(format!("{}/api/v1/platforms", up.url)).bearer_auth(key);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert!(!system.data().join("operator-key").exists());
    assert!(!up.stdout.join("\n").contains(key) && !up.log().contains(key));
    up.stop().await;
}

#[tokio::test]
async fn limit_of_open_files_is_raised() {
    let system = TestSystem::new();
    let command = system.command();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -Sn 500; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    shell.current_dir(system.path());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let up = system.start_with(shell).await;
    let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    assert_eq!(up.limit("Max open files"), hard.min(65_536));
    up.stop().await;
}
