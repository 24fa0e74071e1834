//! Reuse, cancellation and orderly end of connections.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    raw,
    world::{Count, KEY, World, eventually, long_response, serve},
};

#[tokio::test]
async fn connections_are_reused_on_both_sides() {
    let connections = Count::default();
    let count = connections.clone();
    let service = raw::service(move |mut stream| {
        count.add(1);
        async move {
            while !raw::head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await;
    let world = World::with_service(service, json!({}));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    for _ in 0..20 {
        stream.write_all(raw::request("GET", "/api/v1/platforms", "").as_bytes()).await.unwrap();
        assert!(raw::head(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.unwrap();
    }
    // The rejection of a complete request does not end the connection either.
    stream.write_all(raw::request("GET", "/nothing", "").as_bytes()).await.unwrap();
    let rejection = raw::head(&mut stream).await;
    assert!(rejection.starts_with("HTTP/1.1 404 ") && !rejection.contains("close"), "{rejection}");
    assert_eq!(connections.get(), 1);
}

#[tokio::test]
async fn closed_service_connection_is_not_reused() {
    let raw_response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let world = World::with_service(raw::fixed_response(raw_response, true).await, json!({}));
    for _ in 0..20 {
        let response = world.request(Method::POST, "/api/v1/platforms").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "ok");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Starts a service that never responds and counts its requests and the connections that the gateway closes.
async fn unresponsive() -> (std::net::SocketAddr, Count, Count) {
    let (requests, closed) = (Count::default(), Count::default());
    let counts = (requests.clone(), closed.clone());
    let at = raw::service(move |mut stream| {
        let (requests, closed) = counts.clone();
        async move {
            raw::head(&mut stream).await;
            requests.add(1);
            let _ = stream.read_u8().await;
            closed.add(1);
        }
    })
    .await;
    (at, requests, closed)
}

#[tokio::test]
async fn read_is_cancelled_when_its_client_disconnects() {
    let (at, requests, closed) = unresponsive().await;
    let world = World::with_service(at, json!({}));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(raw::request("GET", "/api/v1/platforms", "").as_bytes()).await.unwrap();
    requests.reaches(1).await;
    drop(stream);
    closed.reaches(1).await;
}

#[tokio::test]
async fn write_continues_without_its_client() {
    let (at, requests, closed) = unresponsive().await;
    let world = World::with_service(at, json!({ "service": { "upstream_timeout": "1500ms" } }));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(raw::request("POST", "/api/v1/platforms", "").as_bytes()).await.unwrap();
    requests.reaches(1).await;
    drop(stream);
    sleep(Duration::from_millis(700)).await;
    assert_eq!(closed.get(), 0, "the gateway still waits for the response");
    closed.reaches(1).await;
}

#[tokio::test]
async fn incomplete_write_ends_with_its_client() {
    let (at, requests, closed) = unresponsive().await;
    let world = World::with_service(at, json!({}));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let head = raw::request("POST", "/api/v1/platforms", "Content-Length: 100000\r\n");
    stream.write_all(format!("{head}{}", "x".repeat(50_000)).as_bytes()).await.unwrap();
    requests.reaches(1).await;
    drop(stream);
    closed.reaches(1).await;
}

#[tokio::test]
async fn client_that_disconnects_during_a_response_frees_the_service() {
    let sent = Count::default();
    let count = sent.clone();
    let service = serve(move |config| {
        config.default_service(web::to(move || {
            let count = count.clone();
            async move { long_response(100_000, count) }
        }));
    });
    let world = World::with_service(service, json!({}));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(raw::request("GET", "/api/v1/platforms", "").as_bytes()).await.unwrap();
    raw::head(&mut stream).await;
    drop(stream);
    let still = || async {
        let before = sent.get();
        sleep(Duration::from_millis(300)).await;
        sent.get() == before
    };
    for _ in 0..20 {
        if still().await {
            return;
        }
    }
    panic!("the service continues to send");
}

#[tokio::test]
async fn client_that_does_not_read_is_disconnected() {
    let gone = Count::default();
    let count = gone.clone();
    let service = raw::service(move |mut stream| {
        let count = count.clone();
        async move {
            raw::head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
            count.add(1);
        }
    })
    .await;
    let world = World::with_service(service, json!({ "service": { "stalled_client_timeout": "1s" } }));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(raw::request("GET", "/api/v1/platforms", "").as_bytes()).await.unwrap();
    raw::head(&mut stream).await;
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        if gone.get() == 1 {
            drop(stream);
            return;
        }
    }
    panic!("the client still occupies a connection to the service");
}

#[tokio::test]
async fn shutdown_waits_for_requests_in_progress_and_accepts_no_new_ones() {
    let service = serve(|config| {
        config.default_service(web::to(|| async {
            sleep(Duration::from_millis(700)).await;
            HttpResponse::Ok().body("done")
        }));
    });
    let world = World::with_service(service, json!({}));
    let in_progress = tokio::spawn(world.request(Method::GET, "/api/v1/platforms").send());
    sleep(Duration::from_millis(200)).await;
    world.shutdown.begin();
    let response = in_progress.await.unwrap().unwrap();
    assert_eq!(response.text().await.unwrap(), "done");
    world.shutdown.drained().await;
    eventually("nothing listens", || std::net::TcpStream::connect(world.at).is_err()).await;
}

#[tokio::test]
async fn client_that_expects_continue_gets_it() {
    let world = World::new(json!({}));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let lines = "Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n";
    stream.write_all(raw::request("POST", "/api/v1/platforms", lines).as_bytes()).await.unwrap();
    assert!(raw::head(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(b"hello").await.unwrap();
    let response = raw::response(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("\"length\":5"), "{response}");
    assert!(!response.contains(KEY));
}
