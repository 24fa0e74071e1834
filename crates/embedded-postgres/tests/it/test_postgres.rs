use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scratch::{Scratch, connect, eventually, runs, value};

/// Returns a command that runs `test-postgres` with its temporary folders in the scratch folder.
fn program(scratch: &Scratch, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-postgres"));
    command.args(arguments).env("TMPDIR", scratch.path());
    command
}

fn left_behind(scratch: &Scratch) -> usize {
    scratch.path().read_dir().unwrap().count()
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[tokio::test]
async fn command_gets_a_database_and_its_exit_code_is_returned() {
    let scratch = Scratch::new();
    let mut child = program(&scratch, &["--", "sh", "-c", "echo $NNO_TEST_POSTGRES_URL; read line; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let client = connect(&url.trim().into()).await.unwrap();
    assert_eq!(value(&client, "SHOW fsync").await, "off");
    assert_eq!(value(&client, "SHOW max_connections").await, "300");
    let data_directory = value(&client, "SHOW data_directory").await;
    assert!(data_directory.starts_with(scratch.path().to_str().unwrap()), "{data_directory}");

    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(left_behind(&scratch), 0);
    client.batch_execute("SELECT 1").await.unwrap_err();
}

#[tokio::test]
async fn signal_stops_the_command_and_the_cluster() {
    for (signal, command, code) in [
        (Signal::SIGTERM, "echo ready; exec sleep 600", 143),
        // A terminal also sends Ctrl-C to the command; here only test-postgres gets it.
        (Signal::SIGINT, "echo ready; sleep 1; exit 130", 130),
    ] {
        let scratch = Scratch::new();
        let mut child =
            program(&scratch, &["--", "sh", "-c", command]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let folder = scratch.path().read_dir().unwrap().next().unwrap().unwrap().path();
        let pid_file = fs::read_to_string(folder.join("postgres/cluster/postmaster.pid")).unwrap();
        let postmaster = Pid::from_raw(pid_file.lines().next().unwrap().parse().unwrap());

        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(!runs(postmaster));
        assert_eq!(left_behind(&scratch), 0);
    }
}

#[tokio::test]
async fn signal_during_initdb_leaves_no_files() {
    let scratch = Scratch::new();
    let data_dir = Scratch::new();
    let data_path = data_dir.path().to_str().unwrap();
    let mut child = program(&scratch, &["--data-dir", data_path, "--", "true"]).spawn().unwrap();
    eventually("initdb has begun", || !data_dir.incomplete().is_empty()).await;
    send(&child, Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!((left_behind(&scratch), left_behind(&data_dir)), (0, 0));
}

#[tokio::test]
async fn next_run_removes_the_cluster_of_a_killed_run_from_an_explicit_folder() {
    let scratch = Scratch::new();
    let data_dir = Scratch::new();
    let data_path = data_dir.path().to_str().unwrap();
    let mut killed =
        program(&scratch, &["--data-dir", data_path, "--", "sh", "-c", "echo $$; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut line = String::new();
    BufReader::new(killed.stdout.take().unwrap()).read_line(&mut line).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    kill(Pid::from_raw(line.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    let orphan = data_dir.postmaster();
    assert!(runs(orphan));

    let status = program(&scratch, &["--data-dir", data_path, "--", "true"]).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!runs(orphan));
    assert_eq!(left_behind(&data_dir), 0);
}

#[tokio::test]
async fn later_run_removes_temporary_folders_of_killed_runs() {
    let scratch = Scratch::new();
    let mut killed = program(&scratch, &["--", "sh", "-c", "echo $$; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(killed.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let folder = scratch.path().read_dir().unwrap().next().unwrap().unwrap().path();
    let sweep = || program(&scratch, &["--", "true"]).status().unwrap();
    // The folder is old enough to be removed, but it is in use.
    fs::File::open(&folder).unwrap().set_modified(SystemTime::now() - Duration::from_secs(120)).unwrap();
    assert_eq!(sweep().code(), Some(0));
    assert_eq!(left_behind(&scratch), 1);

    killed.kill().unwrap();
    killed.wait().unwrap();
    kill(Pid::from_raw(line.trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(sweep().code(), Some(0));
    assert_eq!(left_behind(&scratch), 0);
}

#[tokio::test]
async fn missing_command_leaves_no_cluster() {
    let scratch = Scratch::new();
    let output = program(&scratch, &["--", "no-such-command"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("cannot run no-such-command"), "{message}");
    assert_eq!(left_behind(&scratch), 0);
}
