use nix::sys::signal::{Signal, kill};
use reqwest::Method;
use serde_json::json;

use crate::system::{Place, eventually};

#[tokio::test]
async fn what_was_answered_outlives_a_kill() {
    let place = Place::new();
    let up = place.up().await;
    let (key, id) = (up.operator_key(), up.make_platform("acme").await);
    up.kill().await;
    assert!(!place.processes().is_empty(), "PostgreSQL goes on without us");

    let up = place.up().await;
    assert_eq!(up.operator_key(), key);
    assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["slug"], "acme");
    // The whole of it this time: nothing is there to remove the pid file.
    let postmaster = place.postmaster();
    up.kill().await;
    kill(postmaster, Signal::SIGKILL).unwrap();
    assert!(place.data().join("postgres/cluster/postmaster.pid").exists());

    let up = place.up().await;
    assert_eq!(up.get(&format!("/api/v1/platforms/{id}")).await["slug"], "acme");
    up.stop().await;
    assert_eq!(place.processes(), [""; 0]);
}

#[tokio::test]
async fn a_start_that_was_killed_is_no_obstacle() {
    let place = Place::new();
    let mut up = place.spawn(place.command());
    // In the middle of making the cluster.
    eventually("initdb is at work", async || place.processes().iter().any(|name| name.trim() != "nno")).await;
    up.send(Signal::SIGKILL);
    up.ended().await;
    place.up().await.stop().await;
    assert_eq!(place.processes(), [""; 0]);
}

#[tokio::test]
async fn a_postgres_that_dies_comes_back_and_the_services_find_it() {
    let place = Place::new();
    let up = place.up().await;
    let before = up.make_platform("before").await;
    let postmaster = place.postmaster();
    kill(postmaster, Signal::SIGKILL).unwrap();
    eventually("another postmaster runs", async || {
        let pid_file = place.data().join("postgres/cluster/postmaster.pid");
        std::fs::read_to_string(pid_file).is_ok_and(|text| !text.starts_with(&format!("{postmaster}\n")))
    })
    .await;
    eventually("the registry writes again", async || {
        let body = json!({ "name": "after", "slug": "after" });
        matches!(up.ask(Method::POST, "/api/v1/platforms", Some(body)).await, Ok((201, _)))
    })
    .await;
    assert_eq!(up.get(&format!("/api/v1/platforms/{before}")).await["slug"], "before");
    eventually("all are ready again", async || {
        matches!(up.ask(Method::GET, "/ready", None).await, Ok((200, _)))
    })
    .await;
    up.stop().await;
    assert_eq!(place.processes(), [""; 0]);
}

#[tokio::test]
async fn a_postgres_that_cannot_come_back_ends_it_all() {
    let place = Place::new();
    let mut up = place.up().await;
    // Without it no cluster starts.
    std::fs::remove_file(place.data().join("postgres/cluster/global/pg_control")).unwrap();
    kill(place.postmaster(), Signal::SIGKILL).unwrap();
    assert_eq!(up.ended().await.code(), Some(1));
    let log = up.log();
    let why = log.lines().find(|line| line.starts_with("nno: ")).unwrap_or_else(|| panic!("{log}"));
    assert!(why.contains("PostgreSQL cannot be started again"), "{why}");
    assert!(log.contains("PostgreSQL did not start"), "it was tried more than once: {log}");
    assert_eq!(place.processes(), [""; 0]);
}
