use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::system::{TestSystem, Up, eventually};

/// Sends a request to create a platform, without the last byte of its body.
async fn begin_write(up: &Up) -> TcpStream {
    let body = r#"{"name":"Acme","slug":"acme"}"#;
    let address = up.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (key, length) = (up.operator_key(), body.len());
    let head = format!(
        "POST /api/v1/platforms HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Type: \
         application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes().split_last().unwrap().1).await.unwrap();
    // The gateway has to receive the head before the test goes on.
    sleep(Duration::from_millis(200)).await;
    stream
}

async fn wait_until_stopping(up: &Up) {
    eventually("the log says so", async || up.log().contains("stopping; a second signal stops at once"))
        .await;
    eventually("new connections are rejected", async || {
        testkit::client().get(format!("{}/ready", up.url)).send().await.is_err()
    })
    .await;
}

#[tokio::test]
async fn request_in_progress_completes_before_the_exit() {
    let system = TestSystem::new();
    let mut up = system.start().await;
    let mut write = begin_write(&up).await;
    // As Ctrl-C does.
    up.send(Signal::SIGINT);
    wait_until_stopping(&up).await;
    write.write_all(b"}").await.unwrap();
    let mut response = String::new();
    write.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
    assert_eq!(up.wait().await.code(), Some(0), "{}", up.log());
    assert_eq!(system.processes(), [""; 0]);
}

#[tokio::test]
async fn second_signal_stops_at_once() {
    let system = TestSystem::new();
    let mut up = system.start().await;
    let _write = begin_write(&up).await;
    up.send(Signal::SIGTERM);
    wait_until_stopping(&up).await;
    let began = Instant::now();
    up.send(Signal::SIGTERM);
    assert_eq!(up.wait().await.code(), Some(128 + 15), "{}", up.log());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    eventually("PostgreSQL exits too", async || system.processes().is_empty()).await;
}

#[tokio::test]
async fn signal_during_the_start_stops_in_order() {
    let system = TestSystem::new();
    let mut up = system.spawn(system.command());
    eventually("the cluster is being created", async || system.processes().len() > 1).await;
    up.send(Signal::SIGTERM);
    assert_eq!(up.wait().await.code(), Some(0), "{}", up.log());
    assert_eq!(system.processes(), [""; 0]);
    system.start().await.stop().await;
}
