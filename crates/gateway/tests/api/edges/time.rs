//! Time limits of a connection.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use super::{connect, ends, response};
use crate::{
    raw::{self, request},
    world::{World, serve},
};

const PATH: &str = "/api/v1/platforms";

/// Sends a byte every 50 ms until the peer closes the connection.
fn send_slowly(stream: tokio::net::TcpStream) -> (tokio::net::TcpStream, tokio::task::JoinHandle<()>) {
    let std = stream.into_std().unwrap();
    let mut writing = tokio::net::TcpStream::from_std(std.try_clone().unwrap()).unwrap();
    let task = tokio::spawn(async move {
        for byte in b"GET /health HTTP/1.1\r\nA: ".iter().copied().chain(std::iter::repeat(b'a')) {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    (tokio::net::TcpStream::from_std(std).unwrap(), task)
}

#[tokio::test]
async fn slow_head_gets_408_on_every_request_of_a_connection() {
    let world = World::new(json!({ "http": { "head_timeout": "500ms" } }));
    for requests in [0, 1, 3] {
        let mut stream = connect(world.at, request("GET", PATH, "").repeat(requests)).await;
        for _ in 0..requests {
            assert_eq!(response(&mut stream, "GET").await.unwrap().status, 200);
        }
        // The time limit of the head does not apply to an idle connection.
        sleep(Duration::from_millis(if requests == 0 { 0 } else { 800 })).await;
        let started = Instant::now();
        let (mut stream, task) = send_slowly(stream);
        assert_eq!(response(&mut stream, "GET").await.unwrap().status, 408, "{requests}");
        assert!((300..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        assert!(ends(&mut stream, raw::LONG).await);
        drop(stream);
        task.abort();
    }
}

#[tokio::test]
async fn idle_connection_ends_after_the_keep_alive_timeout() {
    let world = World::new(json!({ "service": { "keep_alive_timeout": "700ms" } }));
    let mut stream = connect(world.at, request("GET", PATH, "")).await;
    assert_eq!(response(&mut stream, "GET").await.unwrap().status, 200);
    let started = Instant::now();
    // Empty lines do not begin a request.
    stream.write_all(b"\r\n").await.unwrap();
    assert!(ends(&mut stream, raw::LONG).await);
    assert!((500..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn half_closed_client_gets_its_response() {
    let slow = serve(|config| {
        config.default_service(web::to(|| async {
            sleep(Duration::from_millis(500)).await;
            HttpResponse::Ok().body("done")
        }));
    });
    let world = World::with_service(slow, json!({}));
    for bytes in [
        request("GET", PATH, ""),
        request("POST", PATH, "Content-Length: 2\r\n") + "{}",
        request("POST", PATH, "Transfer-Encoding: chunked\r\n") + "2\r\n{}\r\n0\r\n\r\n",
        request("GET", PATH, "").repeat(2),
    ] {
        let mut stream = connect(world.at, &bytes).await;
        stream.shutdown().await.unwrap();
        for _ in 0..bytes.matches("HTTP/1.1").count() {
            let response = response(&mut stream, "GET").await.expect("a response");
            assert_eq!((response.status, response.body.as_str()), (200, "done"), "{bytes}");
        }
        assert!(ends(&mut stream, raw::LONG).await);
    }
}

#[tokio::test]
async fn incomplete_request_gets_400() {
    let world = World::new(json!({}));
    for bytes in [
        "GET /health HTTP/1.1\r\nHost: a".to_owned(),
        request("POST", PATH, "Content-Length: 5\r\n") + "{}",
        request("POST", PATH, "Transfer-Encoding: chunked\r\n") + "5\r\n{}",
    ] {
        let mut stream = connect(world.at, &bytes).await;
        stream.shutdown().await.unwrap();
        assert_eq!(response(&mut stream, "GET").await.expect("a response").status, 400, "{bytes}");
        assert!(ends(&mut stream, raw::LONG).await);
    }
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_about_to_be_read() {
    let world = World::new(json!({}));
    let lines = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    let mut stream = connect(world.at, request("POST", PATH, lines)).await;
    for _ in 0..2 {
        assert_eq!(response(&mut stream, "POST").await.unwrap().status, 100);
        stream.write_all(b"hello").await.unwrap();
        let last = response(&mut stream, "POST").await.unwrap();
        assert!(last.status == 200 && last.body.contains("\"length\":5"), "{last:?}");
        stream.write_all(request("POST", PATH, lines).as_bytes()).await.unwrap();
    }
    assert_eq!(response(&mut stream, "POST").await.unwrap().status, 100);
}
