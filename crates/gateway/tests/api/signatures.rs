//! Services that reject the gateway's signature, temporarily or permanently.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    raw,
    world::{World, error_of},
};

/// The requests that a service received: the authorization and the body of each.
type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// Starts a service that rejects its first `times` requests, and echoes the body of all others.
async fn rejecting(times: usize) -> (SocketAddr, Requests) {
    let requests = Requests::default();
    let log = Arc::clone(&requests);
    let at = raw::service(move |mut stream| {
        let log = Arc::clone(&log);
        async move {
            let head = raw::head(&mut stream).await;
            let value = |name: &str| {
                let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name))?;
                Some(line.split_once(": ")?.1.to_owned())
            };
            let length = value("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let body = String::from_utf8(body).unwrap();
            let rejects = {
                let mut log = log.lock().unwrap();
                log.push((value("authorization").unwrap(), body.clone()));
                log.len() <= times
            };
            let (status, body) = if rejects { ("401 No", "{}".to_owned()) } else { ("200 OK", body) };
            let response = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    })
    .await;
    (at, requests)
}

fn requests(world: &World) -> Vec<(RequestBuilder, &'static str)> {
    let path = "/api/v1/platforms";
    vec![
        (world.request(Method::GET, path), ""),
        (world.request(Method::POST, path).body("{\"name\":\"Acme\"}"), "{\"name\":\"Acme\"}"),
        (world.request(Method::POST, path), ""),
    ]
}

#[tokio::test]
async fn rejected_request_is_signed_and_sent_again() {
    for case in 0..3 {
        let (at, received) = rejecting(1).await;
        let world = World::with_service(at, json!({}));
        let (request, body) = requests(&world).swap_remove(case);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "case {case}");
        assert_eq!(response.text().await.unwrap(), body);
        let received = received.lock().unwrap().clone();
        assert_eq!(received.len(), 2);
        assert_ne!(received[0].0, received[1].0, "the second signature is a new one");
        assert_eq!((received[0].1.as_str(), received[1].1.as_str()), (body, body));
    }
}

#[tokio::test]
async fn request_is_sent_at_most_twice() {
    let (at, received) = rejecting(usize::MAX).await;
    let world = World::with_service(at, json!({}));
    let response = world.get("/api/v1/platforms").await;
    assert_eq!(error_of(response).await, (502, "UPSTREAM_ERROR".to_owned()));
    assert_eq!(received.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn large_body_is_sent_once() {
    let (at, received) = rejecting(1).await;
    let world = World::with_service(at, json!({}));
    let large = "x".repeat(100_000);
    let response = world.request(Method::POST, "/api/v1/platforms").body(large).send().await.unwrap();
    assert_eq!(error_of(response).await, (502, "UPSTREAM_ERROR".to_owned()));
    assert_eq!(received.lock().unwrap().len(), 1);
}
