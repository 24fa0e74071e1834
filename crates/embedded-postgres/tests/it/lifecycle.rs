use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{geteuid, getpgid};
use tokio::time::{sleep, timeout};

use crate::scratch::{PASSWORD, Scratch, connect, refusal, runs, value};

#[tokio::test]
async fn fresh_cluster_answers_queries() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    for (setting, expected) in [
        ("server_encoding", "UTF8"),
        ("lc_collate", "C.UTF-8"),
        ("timezone", "UTC"),
        ("fsync", "off"),
        ("max_connections", "20"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("jit", "off"),
    ] {
        assert_eq!(value(&client, &format!("SHOW {setting}")).await, expected, "{setting}");
    }
    let owner = scratch.folder().join("cluster").metadata().unwrap();
    assert_eq!(owner.mode() & 0o777, 0o700);
    assert_ne!(owner.uid(), 0, "PostgreSQL must not run as root");
    if !geteuid().is_root() {
        assert_eq!(owner.uid(), geteuid().as_raw());
    }
    assert_eq!(scratch.incomplete().len(), 0);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn postgres_has_its_own_process_group_and_environment() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let postmaster = scratch.postmaster();
    // A terminal sends Ctrl-C to the whole process group.
    assert_eq!(getpgid(Some(postmaster)).unwrap(), postmaster);
    assert_ne!(getpgid(None).unwrap(), postmaster);
    if let Ok(environment) = std::fs::read_to_string(format!("/proc/{postmaster}/environ")) {
        assert!(environment.contains("LC_ALL=") && !environment.contains("PATH="), "{environment}");
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn login_requires_the_password() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let wrong = cluster.url("nno", &"wrong".into(), "postgres");
    assert!(refusal(connect(&wrong).await).contains("password authentication failed"));
    let none = format!("postgres://nno@127.0.0.1:{}/postgres", cluster.port());
    assert!(connect(&none.into()).await.is_err());
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn durable_cluster_syncs_writes() {
    let scratch = Scratch::new();
    let cluster = scratch.start_durable().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(value(&client, &format!("SHOW {setting}")).await, "on", "{setting}");
    }
    assert_eq!(value(&client, "SHOW shared_buffers").await, "128MB");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn restart_preserves_data_and_port() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    client.batch_execute("CREATE TABLE saved AS SELECT 42 AS n").await.unwrap();
    let (port, postmaster) = (cluster.port(), scratch.postmaster());
    // The open session does not delay the stop.
    timeout(Duration::from_secs(5), cluster.stop()).await.unwrap().unwrap();
    assert!(!runs(postmaster));

    let cluster = scratch.start().await;
    assert_eq!(cluster.port(), port);
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT n FROM saved").await, "42");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn start_selects_another_port_if_the_last_one_is_in_use() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let port = cluster.port();
    cluster.stop().await.unwrap();

    let rival = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let cluster = scratch.start().await;
    assert_ne!(cluster.port(), port);
    connect(&cluster.superuser_url("postgres")).await.unwrap();
    drop(rival);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn two_clusters_run_side_by_side() {
    let (left, right) = (Scratch::new(), Scratch::new());
    let (one, two) = tokio::join!(left.start(), right.start());
    assert_ne!(one.port(), two.port());
    let client = connect(&one.superuser_url("postgres")).await.unwrap();
    client.batch_execute("CREATE TABLE only_here ()").await.unwrap();
    let other = connect(&two.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&other, "SELECT count(*) FROM pg_class WHERE relname = 'only_here'").await, "0");
    one.stop().await.unwrap();
    assert_eq!(value(&other, "SELECT 1").await, "1");
    two.stop().await.unwrap();
}

#[tokio::test]
async fn exit_of_the_postmaster_is_reported_and_restart_works() {
    let scratch = Scratch::new();
    let mut cluster = scratch.start_durable().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    client.batch_execute("CREATE TABLE saved AS SELECT 42 AS n").await.unwrap();
    // A computing session does not notice that its postmaster is gone and keeps the shared memory attached.
    let busy = connect(&cluster.superuser_url("postgres")).await.unwrap();
    tokio::spawn(async move { busy.batch_execute("SELECT sum(n) FROM generate_series(1, 1e13) AS n").await });
    while value(&client, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1e13%'").await != "2" {}
    assert!(timeout(Duration::from_millis(100), cluster.exited()).await.is_err());

    let port = cluster.port();
    kill(scratch.postmaster(), Signal::SIGKILL).unwrap();
    tokio::select! {
        exit = cluster.exited() => {
            assert!(exit.to_string().contains("signal: 9"), "{exit}");
            cluster.restart().await.unwrap();
        }
        () = sleep(Duration::from_secs(5)) => panic!("the exit was not reported"),
    }

    assert_eq!(cluster.port(), port);
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT n FROM saved").await, "42");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn root_runs_postgres_as_the_owner_of_the_cluster() {
    if !geteuid().is_root() {
        // An ordinary user cannot switch users.
        return;
    }
    let scratch = Scratch::new();
    scratch.start().await.stop().await.unwrap();
    let cluster = scratch.folder().join("cluster");
    let changed = Command::new("chown").args(["-R", "65534:65534"]).arg(&cluster).status().unwrap();
    assert!(changed.success());
    let started = scratch.start().await;
    let pid_file = cluster.join("postmaster.pid").metadata().unwrap();
    assert_eq!((pid_file.uid(), pid_file.gid()), (65534, 65534));
    started.stop().await.unwrap();
}

#[tokio::test]
async fn log_contains_messages_but_no_password() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    client.batch_execute("SELECT no_such_column").await.unwrap_err();
    let log = std::fs::read_to_string(scratch.folder().join("postgres.log")).unwrap();
    assert!(log.contains("no_such_column") && !log.contains(PASSWORD), "{log}");
    cluster.stop().await.unwrap();
}
