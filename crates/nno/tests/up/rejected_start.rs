use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    process::{Command, Output},
};

use nix::unistd::geteuid;

use crate::system::TestSystem;

/// Asserts that the start fails with exit code 1 and one line that has all of `why`. Returns the whole output.
fn assert_rejected(system: &TestSystem, command: Command, why: &[&str]) -> String {
    let Output { status, stderr, stdout } = system.run_to_exit(command);
    let (errors, output) = (String::from_utf8(stderr).unwrap(), String::from_utf8(stdout).unwrap());
    assert_eq!(status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("nno: ") && why.iter().all(|part| errors.contains(part)), "{errors}");
    assert!(!output.contains("ready"), "{output}");
    errors + &output
}

#[test]
fn port_in_use_is_rejected() {
    let system = TestSystem::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let mut command = system.command();
    command.env("NNO_PORT", &port);
    assert_rejected(&system, command, &["cannot listen on", &port, "NNO_PORT", "in use"]);
    assert_eq!(system.processes(), [""; 0]);
    assert!(!system.data().join("postgres").exists(), "the port is checked before anything is created");
}

#[test]
fn folder_with_files_of_another_program_is_rejected() {
    let system = TestSystem::new();
    let precious = system.data().join("precious");
    fs::create_dir(system.data()).unwrap();
    fs::write(&precious, "mine").unwrap();
    assert_rejected(
        &system,
        system.command(),
        &["is not empty", system.data().to_str().unwrap(), "NNO_DATA_DIR"],
    );
    assert_eq!(system.processes(), [""; 0]);
    assert_eq!(fs::read_to_string(precious).unwrap(), "mine");
    assert_eq!(system.data().read_dir().unwrap().count(), 1, "nothing is added");
}

#[test]
fn file_as_data_folder_is_rejected() {
    let system = TestSystem::new();
    fs::write(system.data(), "mine").unwrap();
    assert_rejected(
        &system,
        system.command(),
        &["cannot create the data folder", system.data().to_str().unwrap()],
    );
}

#[test]
fn folder_of_another_user_is_rejected() {
    if !geteuid().is_root() {
        // Only root can change the owner of a folder.
        return;
    }
    let system = TestSystem::new();
    let marker = system.data().join("nno-data");
    fs::create_dir(system.data()).unwrap();
    fs::write(&marker, "This folder is kept by `nno up`. Layout 1.\n").unwrap();
    chown(&marker, Some(65534), None).unwrap();
    assert_rejected(&system, system.command(), &["belongs to user id 65534", "NNO_DATA_DIR"]);
}

#[test]
fn missing_postgres_programs_are_rejected() {
    let system = TestSystem::new();
    let mut command = system.command();
    command.env("NNO_POSTGRES_BIN", system.path());
    assert_rejected(&system, command, &["NNO_POSTGRES_BIN", system.path().to_str().unwrap()]);
}

#[test]
fn short_operator_key_is_rejected_and_not_repeated() {
    let system = TestSystem::new();
    let mut command = system.command();
    command.env("NNO_OPERATOR_KEY", "short-key");
    let output = assert_rejected(&system, command, &["NNO_OPERATOR_KEY", "16 or more"]);
    assert!(!output.contains("short-key"), "{output}");
}

#[tokio::test]
async fn second_system_on_the_same_folder_is_rejected() {
    let system = TestSystem::new();
    let up = system.start().await;
    let postmaster = system.postmaster();
    assert_rejected(
        &system,
        system.command(),
        &["another `nno up` runs on", system.data().to_str().unwrap()],
    );
    assert_eq!(system.postmaster(), postmaster);
    assert_eq!(up.get("/ready").await["status"], "ready");
    up.stop().await;
}
