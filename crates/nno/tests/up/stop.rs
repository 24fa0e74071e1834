use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::system::{Place, Up, eventually};

/// Begins to make a platform, and leaves the last byte of the body unsent.
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
    // It has to be under way.
    sleep(Duration::from_millis(200)).await;
    stream
}

async fn is_stopping(up: &Up) {
    eventually("it says so", async || up.log().contains("stopping; a second signal stops at once")).await;
    eventually("nothing new is let in", async || {
        testkit::client().get(format!("{}/ready", up.url)).send().await.is_err()
    })
    .await;
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let place = Place::new();
    let mut up = place.up().await;
    let mut write = begin_write(&up).await;
    // As Ctrl-C does.
    up.send(Signal::SIGINT);
    is_stopping(&up).await;
    write.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    write.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(up.ended().await.code(), Some(0), "{}", up.log());
    assert_eq!(place.processes(), [""; 0]);
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let place = Place::new();
    let mut up = place.up().await;
    let _write = begin_write(&up).await;
    up.send(Signal::SIGTERM);
    is_stopping(&up).await;
    let began = Instant::now();
    up.send(Signal::SIGTERM);
    assert_eq!(up.ended().await.code(), Some(128 + 15), "{}", up.log());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    eventually("PostgreSQL ends too", async || place.processes().is_empty()).await;
}

#[tokio::test]
async fn a_start_can_be_stopped_in_order() {
    let place = Place::new();
    let mut up = place.spawn(place.command());
    eventually("it is making the cluster", async || place.processes().len() > 1).await;
    up.send(Signal::SIGTERM);
    assert_eq!(up.ended().await.code(), Some(0), "{}", up.log());
    assert_eq!(place.processes(), [""; 0]);
    place.up().await.stop().await;
}
