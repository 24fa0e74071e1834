use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use embedded_postgres::{Cluster, Error, Settings, discard};
use nix::unistd::geteuid;

use crate::scratch::{Scratch, connect, value};

#[tokio::test]
async fn folder_of_another_program_is_rejected_and_unchanged() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.folder()).unwrap();
    fs::write(scratch.folder().join("PG_VERSION"), "15\n").unwrap();
    let error = Cluster::start(scratch.settings()).await.unwrap_err();
    assert!(matches!(&error, Error::Foreign(path) if *path == scratch.folder()), "{error}");
    let error = discard(scratch.path()).await.unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(scratch.folder().read_dir().unwrap().count(), 1);
}

#[tokio::test]
async fn folder_in_use_is_rejected() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let error = Cluster::start(scratch.settings()).await.unwrap_err();
    assert!(matches!(&error, Error::AlreadyRunning(path) if *path == scratch.folder()), "{error}");
    assert!(error.to_string().contains("already runs"), "{error}");
    let error = discard(scratch.path()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyRunning(_)), "{error}");
    let client = connect(&cluster.superuser_url("postgres")).await.unwrap();
    assert_eq!(value(&client, "SELECT 1").await, "1");
    cluster.stop().await.unwrap();
    scratch.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn discard_removes_the_cluster() {
    let scratch = Scratch::new();
    scratch.start().await.stop().await.unwrap();
    discard(scratch.path()).await.unwrap();
    assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    discard(scratch.path()).await.unwrap();
}

#[tokio::test]
async fn cluster_of_another_version_is_rejected() {
    let scratch = Scratch::new();
    let version = scratch.folder().join("cluster/PG_VERSION");
    scratch.start().await.stop().await.unwrap();
    let actual = fs::read_to_string(&version).unwrap().trim().to_owned();
    fs::write(&version, "11\n").unwrap();
    let error = Cluster::start(scratch.settings()).await.unwrap_err();
    assert!(matches!(error, Error::VersionMismatch { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("PostgreSQL 11") && text.contains(&format!("version {actual}")), "{text}");
}

#[tokio::test]
async fn different_superuser_password_is_rejected() {
    let scratch = Scratch::new();
    scratch.start().await.stop().await.unwrap();
    let settings = Settings { superuser_password: "another".into(), ..scratch.settings() };
    let error = Cluster::start(settings).await.unwrap_err();
    assert!(matches!(error, Error::WrongPassword(_)), "{error}");
    // The failed start left no process running.
    scratch.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn requested_port_in_use_is_rejected() {
    let scratch = Scratch::new();
    let rival = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = rival.local_addr().unwrap().port();
    let settings = Settings { port: Some(port), ..scratch.settings() };
    let error = Cluster::start(settings.clone()).await.unwrap_err();
    assert!(matches!(error, Error::PortTaken(taken) if taken == port), "{error}");
    drop(rival);
    let cluster = Cluster::start(settings).await.unwrap();
    assert_eq!(cluster.port(), port);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn inaccessible_folder_is_named_in_the_error() {
    let scratch = Scratch::new();
    let private = scratch.path().join("private");
    let data_dir = private.join("nested");
    fs::create_dir_all(&data_dir).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o700)).unwrap();
    let settings = Settings { data_dir, ..scratch.settings() };
    let started = Cluster::start(settings).await;
    // For an ordinary user, PostgreSQL runs as that user, which may enter the folder.
    if geteuid().is_root() {
        let error = started.unwrap_err();
        assert!(matches!(&error, Error::NotTraversable { dir, .. } if *dir == private), "{error}");
        assert!(error.to_string().contains("chmod o+x"), "{error}");
    } else {
        started.unwrap().stop().await.unwrap();
    }
}
