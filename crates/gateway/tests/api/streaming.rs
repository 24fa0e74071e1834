//! Streaming of bodies in both directions.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use futures_util::StreamExt;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    raw,
    world::{Count, World, eventually, long_response, serve},
};

const MIB: usize = 1 << 20;

/// Returns the resident memory of this process in bytes, which includes the gateway, the client and the service.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn response_is_streamed() {
    let (open_gate, gate) = mpsc::channel::<()>(1);
    let gate = std::sync::Arc::new(tokio::sync::Mutex::new(gate));
    let service = raw::service(move |mut stream| {
        let gate = std::sync::Arc::clone(&gate);
        async move {
            raw::head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                .await
                .unwrap();
            gate.lock().await.recv().await;
            stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
            sleep(raw::LONG).await;
        }
    })
    .await;
    let world = World::with_service(service, json!({}));
    let mut body = world.get("/api/v1/platforms").await.bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "first");
    open_gate.send(()).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "last");
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn upload_is_streamed() {
    let arrived = Count::default();
    let count = arrived.clone();
    let service = serve(move |config| {
        config.default_service(web::to(move |mut body: web::Payload| {
            let count = count.clone();
            async move {
                while let Some(Ok(piece)) = body.next().await {
                    count.add(piece.len());
                }
                HttpResponse::Ok().finish()
            }
        }));
    });
    let world = World::with_service(service, json!({}));
    let (pieces, body) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let request =
        world.request(Method::POST, "/api/v1/platforms").body(Body::wrap_stream(ReceiverStream::new(body)));
    let response = tokio::spawn(request.send());
    pieces.send(Ok(vec![b'x'; 100_000])).await.unwrap();
    // The rest may be in a buffer.
    arrived.reaches(90_000).await;
    assert!(!response.is_finished());
    pieces.send(Ok(vec![b'x'; 50_000])).await.unwrap();
    drop(pieces);
    assert_eq!(response.await.unwrap().unwrap().status(), 200);
    assert_eq!(arrived.get(), 150_000);
}

#[tokio::test]
async fn long_response_does_not_occupy_memory() {
    let sent = Count::default();
    let count = sent.clone();
    let service = serve(move |config| {
        config.default_service(web::to(move || {
            let count = count.clone();
            async move { long_response(800, count) }
        }));
    });
    let world = World::with_service(service, json!({}));
    world.get("/api/v1/platforms").await.bytes().await.unwrap();
    let before = resident();
    let mut body = world.get("/api/v1/platforms").await.bytes_stream();
    let (mut length, mut max) = (0, 0);
    while let Some(piece) = body.next().await {
        length += piece.unwrap().len();
        max = max.max(resident());
    }
    assert_eq!(length, 50 * MIB);
    assert!(max < before + 16 * MIB, "memory grew by {} MiB", max.saturating_sub(before) / MIB);
}

#[tokio::test]
async fn response_has_backpressure() {
    let sent = Count::default();
    let count = sent.clone();
    let service = serve(move |config| {
        config.default_service(web::to(move || {
            let count = count.clone();
            async move { long_response(3200, count) }
        }));
    });
    let world = World::with_service(service, json!({}));
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream
        .write_all(raw::request("GET", "/api/v1/platforms", "Connection: close\r\n").as_bytes())
        .await
        .unwrap();
    raw::head(&mut stream).await;
    eventually("the service sends", || sent.get() > 0).await;
    sleep(Duration::from_secs(1)).await;
    // The kernel buffers data at the four ends of the two connections.
    assert!(sent.get() < 40 * MIB, "{} MiB of 200 have left the service", sent.get() / MIB);
    let (mut length, mut piece, mut end) = (0, vec![0; 256 * 1024], Vec::new());
    let rest = async {
        while let n @ 1.. = stream.read(&mut piece).await.unwrap() {
            length += n;
            end.extend_from_slice(&piece[n.saturating_sub(5)..n]);
            end.drain(..end.len().saturating_sub(5));
        }
    };
    timeout(Duration::from_secs(60), rest).await.unwrap();
    assert_eq!(sent.get(), 200 * MIB);
    assert!(length > 200 * MIB && end == b"0\r\n\r\n", "{length} bytes, at the end {end:?}");
}

#[tokio::test]
async fn upload_has_backpressure() {
    let stuck = raw::service(|stream| async move {
        sleep(raw::LONG).await;
        drop(stream);
    })
    .await;
    let world = World::with_service(stuck, json!({ "http": { "max_body_bytes": 1 << 30 } }));
    let sent = Count::default();
    let body = Body::wrap_stream(crate::world::long_body(3200, sent.clone()));
    let request = tokio::spawn(world.request(Method::POST, "/api/v1/platforms").body(body).send());
    sleep(Duration::from_secs(1)).await;
    assert!((1..40 * MIB).contains(&sent.get()), "{} MiB of 200 have left the client", sent.get() / MIB);
    request.abort();
}
