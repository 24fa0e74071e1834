use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use embedded_postgres::{Cluster, Error, Settings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use percent_encoding::percent_decode_str;

use crate::scratch::{Scratch, connect, eventually, runs, value};

/// A process that owns a cluster and can be killed.
struct Parent {
    child: Child,
    /// The command that the process runs with the cluster.
    command: Pid,
    url: String,
}

impl Parent {
    fn start(scratch: &Scratch) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_test-postgres"))
            .arg("--data-dir")
            .arg(scratch.path())
            .args(["--", "sh", "-c", "echo $$; echo $NNO_TEST_POSTGRES_URL; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let command = Pid::from_raw(lines.next().unwrap().unwrap().parse().unwrap());
        let url = lines.next().unwrap().unwrap();
        Self { child, command, url }
    }

    fn password(&self) -> String {
        let password = self.url.split([':', '@']).nth(2).unwrap();
        percent_decode_str(password).decode_utf8().unwrap().into_owned()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        kill(self.command, Signal::SIGKILL).unwrap();
    }
}

#[tokio::test]
async fn data_survives_a_killed_postmaster() {
    let scratch = Scratch::new();
    let cluster = scratch.start_durable().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    client.batch_execute("CREATE TABLE saved AS SELECT 42 AS n").await.unwrap();
    kill(scratch.postmaster(), Signal::SIGKILL).unwrap();
    drop(cluster);
    assert!(scratch.folder().join("cluster/postmaster.pid").exists());

    let cluster = scratch.start_durable().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT n FROM saved").await, "42");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn orphaned_postmaster_is_replaced() {
    let scratch = Scratch::new();
    let mut parent = Parent::start(&scratch);
    let client = connect(&parent.url.clone().into()).await.unwrap();
    client.batch_execute("CREATE TABLE saved AS SELECT 42 AS n").await.unwrap();
    parent.kill();
    let orphan = scratch.postmaster();
    assert_eq!(value(&client, "SELECT n FROM saved").await, "42", "the orphan must still be running");

    let settings = Settings { superuser_password: parent.password().into(), ..scratch.settings() };
    let cluster = Cluster::start(settings).await.unwrap();
    assert!(!runs(orphan));
    assert_ne!(scratch.postmaster(), orphan);
    let log = fs::read_to_string(scratch.folder().join("postgres.log")).unwrap();
    assert!(
        log.contains("received fast shutdown request") && !log.contains("not properly shut down"),
        "{log}"
    );
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT n FROM saved").await, "42");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn dropped_cluster_is_stopped_by_the_next_start() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let postmaster = scratch.postmaster();
    drop(cluster);
    let cluster = scratch.start().await;
    assert!(!runs(postmaster));
    cluster.stop().await.unwrap();
    drop(scratch);
}

#[tokio::test]
async fn unrelated_process_with_the_recorded_pid_is_not_killed() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let pid_file = scratch.folder().join("cluster/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    cluster.stop().await.unwrap();
    // It runs as the same user, otherwise PostgreSQL itself would recognise it as unrelated.
    let mut command = Command::new("sleep");
    command.arg("600").current_dir("/");
    let owner = scratch.folder().join("cluster").metadata().unwrap();
    if geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let mut bystander = command.spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", bystander.id())).unwrap();

    let started = Cluster::start(scratch.settings()).await;
    let alive = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    started.unwrap().stop().await.unwrap();
    assert!(alive);
}

#[tokio::test]
async fn killed_initdb_is_repeated() {
    let scratch = Scratch::new();
    let mut parent = Command::new(env!("CARGO_BIN_EXE_test-postgres"))
        .arg("--data-dir")
        .arg(scratch.path())
        .args(["--", "true"])
        .spawn()
        .unwrap();
    let begun = || scratch.incomplete().first().is_some_and(|dir| dir.join("cluster/base/1").exists());
    eventually("initdb has begun", begun).await;
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(!scratch.folder().join("cluster").exists(), "initdb was faster than the kill");

    // The initdb of the killed process is still running.
    let cluster = scratch.start().await;
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
    assert_eq!(scratch.incomplete().len(), 0);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn incomplete_cluster_is_removed_at_the_next_start() {
    let scratch = Scratch::new();
    // The state after a crash of the machine.
    fs::create_dir_all(scratch.folder().join("initdb-gone/cluster/base")).unwrap();
    fs::write(scratch.folder().join("initdb-gone/password"), "secret").unwrap();
    fs::write(scratch.folder().join("nno-cluster"), "").unwrap();
    let cluster = scratch.start().await;
    assert_eq!(scratch.incomplete().len(), 0);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn failed_start_reports_the_log() {
    let scratch = Scratch::new();
    scratch.start().await.stop().await.unwrap();
    let configuration = scratch.folder().join("cluster/postgresql.conf");
    fs::write(&configuration, "no_such_parameter = on\n").unwrap();
    let error = Cluster::start(scratch.settings()).await.unwrap_err();
    assert!(matches!(error, Error::Start { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("no_such_parameter") && text.contains("postgres.log"), "{text}");
}
