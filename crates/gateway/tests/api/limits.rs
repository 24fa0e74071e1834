//! Limits on the head, the body and time.

use std::time::{Duration, Instant};

use reqwest::{Body, Method};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::{
    raw,
    world::{Count, World, error_of, long_body},
};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn declared_oversized_body_is_not_read() {
    let world = World::new(json!({}));
    let head = raw::request("POST", "/api/v1/platforms", "Content-Length: 1048577\r\n");
    // The response must not wait for the body, of which nothing is sent.
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let response = raw::response(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 413 ") && response.contains("PAYLOAD_TOO_LARGE"), "{response}");
    assert!(response.contains("\"maxBytes\":1048576"), "{response}");
}

#[tokio::test]
async fn oversized_chunked_body_is_rejected() {
    let world = World::new(json!({}));
    let fits = Body::wrap_stream(long_body(16, Count::default()));
    assert_eq!(
        world.received(world.request(Method::POST, "/api/v1/platforms").body(fits)).await["length"],
        MIB
    );
    for pieces in [17, 400] {
        let sent = Count::default();
        let body = Body::wrap_stream(long_body(pieces, sent.clone()));
        let response = world.request(Method::POST, "/api/v1/platforms").body(body).send().await.unwrap();
        assert_eq!(error_of(response).await, (413, "PAYLOAD_TOO_LARGE".to_owned()));
    }
}

#[tokio::test]
async fn service_never_sees_the_end_of_a_rejected_body() {
    let ended = Count::default();
    let count = ended.clone();
    let service = raw::service(move |mut stream| {
        let count = count.clone();
        async move {
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got).await;
            assert!(got.len() > MIB / 2, "a large part of the body has arrived");
            count.add(if got.ends_with(b"0\r\n\r\n") { 100 } else { 1 });
        }
    })
    .await;
    let world = World::with_service(service, json!({}));
    let body = Body::wrap_stream(long_body(20, Count::default()));
    let response = world.request(Method::POST, "/api/v1/platforms").body(body).send().await.unwrap();
    assert_eq!(response.status(), 413);
    ended.reaches(1).await;
    assert_eq!(ended.get(), 1);
}

#[tokio::test]
async fn endless_body_ends_after_its_rejection() {
    let world = World::new(json!({}));
    let anonymous =
        "POST /api/v1/platforms HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let operator = raw::request("POST", "/api/v1/platforms", "Transfer-Encoding: chunked\r\n");
    for (head, status) in [(anonymous, "401"), (operator, "413")] {
        let mut stream = TcpStream::connect(world.at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let endless = tokio::spawn(async move {
            let piece = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
            while writing.write_all(piece.as_bytes()).await.is_ok() {
                sleep(Duration::from_millis(2)).await;
            }
        });
        let mut response = vec![0; 4096];
        let n = reading.read(&mut response).await.unwrap();
        let text = String::from_utf8_lossy(&response[..n]).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        assert!(text.contains("connection: close"), "{text}");
        tokio::time::timeout(raw::LONG, endless).await.expect("the gateway closes the connection").unwrap();
    }
}

#[tokio::test]
async fn body_timeout_yields_408() {
    let world = World::new(json!({ "http": { "body_timeout": "300ms" } }));
    // The first client sends no body; the second sends it too slowly.
    for pause in [None, Some(Duration::from_millis(50))] {
        let started = Instant::now();
        let head = raw::request("POST", "/api/v1/platforms", "Content-Length: 1000\r\n");
        let stream = TcpStream::connect(world.at).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        writing.write_all(head.as_bytes()).await.unwrap();
        let trickle = tokio::spawn(async move {
            while let Some(pause) = pause {
                sleep(pause).await;
                if writing.write_all(b"x").await.is_err() {
                    break;
                }
            }
            sleep(raw::LONG).await;
            drop(writing);
        });
        let mut response = vec![0; 4096];
        let n = reading.read(&mut response).await.unwrap();
        let text = String::from_utf8_lossy(&response[..n]).into_owned();
        assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("REQUEST_TIMEOUT"), "{text}");
        assert!((250..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
        trickle.abort();
    }
}

#[tokio::test]
async fn long_uri_gets_414() {
    let world = World::new(json!({ "service": { "max_uri_bytes": 1024 } }));
    let path =
        |length: usize| format!("/api/v1/platforms?q={}", "a".repeat(length - "/api/v1/platforms?q=".len()));
    assert_eq!(world.get(&path(1024)).await.status(), 200);
    assert_eq!(error_of(world.get(&path(1025)).await).await, (414, "URI_TOO_LONG".to_owned()));
}

#[tokio::test]
async fn large_and_numerous_headers_get_431() {
    let world = World::new(json!({ "service": { "max_header_bytes": 2048 } }));
    let long =
        |length: usize| world.request(Method::GET, "/api/v1/platforms").header("x-long", "a".repeat(length));
    assert_eq!(long(1500).send().await.unwrap().status(), 200);
    assert_eq!(error_of(long(2048).send().await.unwrap()).await, (431, "HEADERS_TOO_LARGE".to_owned()));
    let many = |count: usize| {
        (0..count)
            .fold(world.request(Method::GET, "/api/v1/platforms"), |request, n| request.header("x-many", n))
    };
    assert_eq!(many(50).send().await.unwrap().status(), 200);
    assert_eq!(error_of(many(70).send().await.unwrap()).await, (431, "HEADERS_TOO_LARGE".to_owned()));
}
