use std::{
    fs,
    net::TcpListener,
    os::unix::fs::chown,
    process::{Command, Output},
};

use nix::unistd::geteuid;

use crate::system::Place;

/// One line says why, the code is 1, and nothing runs.
fn refused(place: &Place, command: Command, why: &[&str]) -> String {
    let Output { status, stderr, stdout } = place.refused(command);
    let (told, said) = (String::from_utf8(stderr).unwrap(), String::from_utf8(stdout).unwrap());
    assert_eq!(status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("nno: ") && why.iter().all(|part| told.contains(part)), "{told}");
    assert!(!said.contains("ready"), "{said}");
    told + &said
}

#[test]
fn a_port_that_is_taken() {
    let place = Place::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let mut command = place.command();
    command.env("NNO_PORT", &port);
    refused(&place, command, &["cannot listen on", &port, "NNO_PORT", "in use"]);
    assert_eq!(place.processes(), [""; 0]);
    assert!(!place.data().join("postgres").exists(), "it was found before anything was made");
}

#[test]
fn a_folder_with_things_in_it_that_are_not_ours() {
    let place = Place::new();
    let precious = place.data().join("precious");
    fs::create_dir(place.data()).unwrap();
    fs::write(&precious, "mine").unwrap();
    refused(&place, place.command(), &["is not empty", place.data().to_str().unwrap(), "NNO_DATA_DIR"]);
    assert_eq!(place.processes(), [""; 0]);
    assert_eq!(fs::read_to_string(precious).unwrap(), "mine");
    assert_eq!(place.data().read_dir().unwrap().count(), 1, "nothing was added");
}

#[test]
fn a_folder_that_is_a_file() {
    let place = Place::new();
    fs::write(place.data(), "mine").unwrap();
    refused(&place, place.command(), &["cannot create the data folder", place.data().to_str().unwrap()]);
}

#[test]
fn a_folder_of_another_user() {
    if !geteuid().is_root() {
        // Only root can give a folder away, and only root could use it by mistake.
        return;
    }
    let place = Place::new();
    let marker = place.data().join("nno-data");
    fs::create_dir(place.data()).unwrap();
    fs::write(&marker, "This folder is kept by `nno up`. Layout 1.\n").unwrap();
    chown(&marker, Some(65534), None).unwrap();
    refused(&place, place.command(), &["belongs to user id 65534", "NNO_DATA_DIR"]);
}

#[test]
fn programs_of_postgres_that_are_not_there() {
    let place = Place::new();
    let mut command = place.command();
    command.env("NNO_POSTGRES_BIN", place.path());
    refused(&place, command, &["NNO_POSTGRES_BIN", place.path().to_str().unwrap()]);
}

#[test]
fn a_key_that_is_short_is_not_repeated() {
    let place = Place::new();
    let mut command = place.command();
    command.env("NNO_OPERATOR_KEY", "short-key");
    let told = refused(&place, command, &["NNO_OPERATOR_KEY", "16 or more"]);
    assert!(!told.contains("short-key"), "{told}");
}

#[tokio::test]
async fn a_second_one_on_the_same_folder() {
    let place = Place::new();
    let up = place.up().await;
    let postmaster = place.postmaster();
    refused(&place, place.command(), &["another `nno up` runs on", place.data().to_str().unwrap()]);
    assert_eq!(place.postmaster(), postmaster);
    assert_eq!(up.get("/ready").await["status"], "ready");
    up.stop().await;
}
