use nix::sys::signal::{Signal, kill};
use reqwest::Method;
use serde_json::json;

use crate::system::{TestSystem, eventually};

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    let system = TestSystem::new();
    let up = system.start().await;
    let (key, id) = (up.operator_key(), up.create_platform("acme").await);
    up.kill().await;
    assert!(!system.processes().is_empty(), "PostgreSQL keeps running");

    let up = system.start().await;
    assert_eq!(up.operator_key(), key);
    assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["slug"], "acme");
    // This time PostgreSQL is killed too, so its pid file stays.
    let postmaster = system.postmaster();
    up.kill().await;
    kill(postmaster, Signal::SIGKILL).unwrap();
    assert!(system.data().join("postgres/cluster/postmaster.pid").exists());

    let up = system.start().await;
    assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["slug"], "acme");
    up.stop().await;
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn start_succeeds_after_a_killed_start() {
    let system = TestSystem::new();
    let mut up = system.spawn(system.command());
    // While the cluster is being created.
    eventually("initdb runs", async || system.processes().iter().any(|name| name.trim() != "nno")).await;
    up.send(Signal::SIGKILL);
    up.wait().await;
    system.start().await.stop().await;
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn crashed_postgres_is_restarted_and_services_reconnect() {
    let system = TestSystem::new();
    let up = system.start().await;
    let before = up.create_platform("before").await;
    let postmaster = system.postmaster();
    kill(postmaster, Signal::SIGKILL).unwrap();
    eventually("a new postmaster runs", async || {
        let pid_file = system.data().join("postgres/cluster/postmaster.pid");
        std::fs::read_to_string(pid_file).is_ok_and(|text| !text.starts_with(&format!("{postmaster}\n")))
    })
    .await;
    eventually("the registry writes again", async || {
        let body = json!({ "name": "after", "slug": "after" });
        matches!(up.call(Method::POST, "/api/v1/platforms", Some(body)).await, Ok((201, _)))
    })
    .await;
    assert_eq!(up.get(&format!("/api/v1/platforms/{before}")).await["slug"], "before");
    eventually("all are ready again", async || {
        matches!(up.call(Method::GET, "/ready", None).await, Ok((200, _)))
    })
    .await;
    up.stop().await;
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn system_exits_if_postgres_cannot_restart() {
    let system = TestSystem::new();
    let mut up = system.start().await;
    // PostgreSQL does not start without this file.
    std::fs::remove_file(system.data().join("postgres/cluster/global/pg_control")).unwrap();
    kill(system.postmaster(), Signal::SIGKILL).unwrap();
    assert_eq!(up.wait().await.code(), Some(1));
    let log = up.log();
    let why = log.lines().find(|line| line.starts_with("nno: ")).unwrap_or_else(|| panic!("{log}"));
    assert!(why.contains("PostgreSQL cannot be started again"), "{why}");
    assert!(log.contains("PostgreSQL did not start"), "the restart is retried: {log}");
    assert_eq!(system.processes(), [""; 0]);
}
