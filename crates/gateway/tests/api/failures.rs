//! Errors of services, as clients see them.

use std::{net::SocketAddr, time::Duration};

use reqwest::{Body, Method};
use rstest::rstest;
use serde_json::json;
use testkit::ReservedPort;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    raw,
    world::{Count, World, error_of},
};

#[rstest]
#[case(Method::GET)]
#[case(Method::POST)]
#[tokio::test]
async fn unreachable_service_yields_503(#[case] method: Method) {
    let nowhere = ReservedPort::new();
    let world = World::with_service(nowhere.address, json!({}));
    let response = world.request(method, "/api/v1/platforms").body("{}").send().await.unwrap();
    assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
}

#[tokio::test]
async fn connect_timeout_yields_503() {
    // An address that is reserved for documentation is not reachable.
    let world = World::with_service(
        "192.0.2.1:81".parse().unwrap(),
        json!({ "service": { "connect_timeout": "200ms" } }),
    );
    let started = Instant::now();
    assert_eq!(error_of(world.get("/api/v1/platforms").await).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Starts a service that reads a request, sends `first` on its first `times` connections and closes them. Then it
/// responds.
async fn failing(first: &'static str, times: usize) -> (SocketAddr, Count) {
    let connections = Count::default();
    let count = connections.clone();
    let at = raw::service(move |mut stream| {
        count.add(1);
        let fails = count.get() <= times;
        async move {
            raw::head(&mut stream).await;
            let response = if fails { first } else { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" };
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    })
    .await;
    (at, connections)
}

#[rstest]
#[case::nothing("")]
#[case::half_a_head("HTTP/1.1 200 OK\r\nContent-Le")]
#[case::nonsense("SSH-2.0-OpenSSH\r\n\r\n")]
#[case::early_head("HTTP/1.1 100 Continue\r\n\r\n")]
#[tokio::test]
async fn closed_connection_of_a_service_yields_502(#[case] sends: &'static str) {
    let (at, connections) = failing(sends, usize::MAX).await;
    let world = World::with_service(at, json!({}));
    for (method, tries) in [(Method::GET, 2), (Method::POST, 1)] {
        let before = connections.get();
        let response = world.request(method, "/api/v1/platforms").send().await.unwrap();
        assert_eq!(error_of(response).await, (502, "UPSTREAM_ERROR".to_owned()));
        let sent = connections.get() - before;
        assert!(sent == tries || sends.contains("100"), "sent {sent} times");
    }
}

#[tokio::test]
async fn reads_are_retried_once_and_writes_never() {
    let (at, connections) = failing("", 1).await;
    let world = World::with_service(at, json!({}));
    assert_eq!(world.get("/api/v1/platforms").await.text().await.unwrap(), "ok");
    assert_eq!(connections.get(), 2);
    let (at, connections) = failing("", 1).await;
    let world = World::with_service(at, json!({}));
    let response = world.request(Method::POST, "/api/v1/platforms").body("{}").send().await.unwrap();
    assert_eq!(error_of(response).await, (502, "UPSTREAM_ERROR".to_owned()));
    assert_eq!(connections.get(), 1);
}

#[rstest]
#[case(Method::GET, "")]
#[case(Method::POST, "{}")]
#[tokio::test]
async fn silent_service_yields_504(#[case] method: Method, #[case] body: &'static str) {
    let silent = raw::service(|stream| async move {
        sleep(raw::LONG).await;
        drop(stream);
    })
    .await;
    let world = World::with_service(silent, json!({ "service": { "upstream_timeout": "300ms" } }));
    let started = Instant::now();
    let response = world.request(method, "/api/v1/platforms").body(body).send().await.unwrap();
    assert_eq!(error_of(response).await, (504, "GATEWAY_TIMEOUT".to_owned()));
    assert!((250..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn service_that_stops_reading_yields_504() {
    let stuck = raw::service(|stream| async move {
        sleep(raw::LONG).await;
        drop(stream);
    })
    .await;
    let overrides = json!({ "http": { "max_body_bytes": 1 << 30, "body_timeout": "5s" }, "service": { "upstream_timeout": "500ms" } });
    let world = World::with_service(stuck, overrides);
    let body = Body::wrap_stream(crate::world::long_body(2000, Count::default()));
    let response = world.request(Method::POST, "/api/v1/platforms").body(body).send().await.unwrap();
    assert_eq!(error_of(response).await, (504, "GATEWAY_TIMEOUT".to_owned()));
}

#[tokio::test]
async fn slow_client_does_not_trigger_the_upstream_timeout() {
    let world = World::new(json!({ "service": { "upstream_timeout": "300ms" } }));
    let head = raw::request("POST", "/api/v1/platforms", "Content-Length: 4\r\nConnection: close\r\n");
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for byte in [b"a", b"b", b"c", b"d"] {
        sleep(Duration::from_millis(400)).await;
        stream.write_all(byte).await.unwrap();
    }
    let response = raw::response(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("\"length\":4"), "{response}");
}

#[tokio::test]
async fn request_timeout_limits_the_whole_request() {
    let silent = raw::service(|stream| async move {
        sleep(raw::LONG).await;
        drop(stream);
    })
    .await;
    let world = World::with_service(silent, json!({ "http": { "request_timeout": "300ms" } }));
    assert_eq!(error_of(world.get("/api/v1/platforms").await).await, (504, "GATEWAY_TIMEOUT".to_owned()));
}

#[rstest]
#[case::length("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")]
#[case::between_chunks("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")]
#[case::within_a_chunk("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")]
#[tokio::test]
async fn incomplete_response_is_not_forwarded_as_complete(#[case] half: &'static str) {
    let world = World::with_service(raw::fixed_response(half, true).await, json!({}));
    let outcome = async { world.request(Method::GET, "/api/v1/platforms").send().await?.text().await }.await;
    assert!(outcome.is_err(), "{outcome:?}");
}

#[tokio::test]
async fn stalled_response_is_cancelled() {
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let world = World::with_service(
        raw::fixed_response(half, false).await,
        json!({ "service": { "upstream_timeout": "300ms" } }),
    );
    let response = world.get("/api/v1/platforms").await;
    assert_eq!(response.status(), 200);
    let started = Instant::now();
    assert!(timeout(raw::LONG, response.text()).await.unwrap().is_err());
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[rstest]
#[case(
    "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<secret/>",
    502,
    "UPSTREAM_ERROR"
)]
#[case("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 503, "SERVICE_UNAVAILABLE")]
#[case(
    "HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    502,
    "UPSTREAM_ERROR"
)]
#[case("HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<secret/>", 404, "NOT_FOUND")]
#[case("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", 400, "VALIDATION_ERROR")]
#[tokio::test]
async fn errors_without_an_envelope_get_one(
    #[case] response: &'static str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let world = World::with_service(raw::fixed_response(response, false).await, json!({}));
    assert_eq!(error_of(world.get("/api/v1/platforms").await).await, (status, code.to_owned()));
}
