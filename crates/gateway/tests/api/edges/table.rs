//! The table of edge cases.

use serde_json::json;

use super::{EdgeCase, connect, ends, response, stays_open};
use crate::{
    raw::{self, request},
    world::{KEY, World},
};

const PATH: &str = "/api/v1/platforms";
const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n";

fn edge(
    name: &'static str,
    request: impl Into<Vec<u8>>,
    responses: &[(&'static str, u16)],
    stays_open: bool,
) -> EdgeCase {
    EdgeCase { name, request: request.into(), responses: responses.to_vec(), stays_open }
}

fn is_400(name: &'static str, request: impl Into<Vec<u8>>) -> EdgeCase {
    edge(name, request, &[("GET", 400)], false)
}

fn chunked(body: &str) -> String {
    format!("{}{body}", request("POST", PATH, "Transfer-Encoding: chunked\r\n"))
}

fn post(lines: &str, body: &str) -> String {
    format!("{}{body}", request("POST", PATH, &format!("Content-Length: {}\r\n{lines}", body.len())))
}

fn pipelines() -> Vec<EdgeCase> {
    let pair = |first: &str, path: &str| request(first, path, "") + &request("GET", path, "");
    vec![
        edge("HEAD", request("HEAD", PATH, ""), &[("HEAD", 200)], true),
        edge("HEAD, then GET", pair("HEAD", PATH), &[("HEAD", 200), ("GET", 200)], true),
        edge("HEAD, then GET, of health", pair("HEAD", "/health"), &[("HEAD", 200), ("GET", 200)], true),
        edge("HEAD of nothing, then GET", pair("HEAD", "/none"), &[("HEAD", 404), ("GET", 404)], true),
        edge("OPTIONS, then GET", pair("OPTIONS", PATH), &[("OPTIONS", 204), ("GET", 200)], true),
        edge("TRACE, then GET", pair("TRACE", PATH), &[("TRACE", 405), ("GET", 200)], true),
        edge("GET twenty times", request("GET", PATH, "").repeat(20), &[("GET", 200); 20], true),
        edge("empty lines between", format!("\r\n\r\n{HEALTH}\r\n{HEALTH}"), &[("GET", 200); 2], true),
        edge("two POSTs", post("", "{}").repeat(2), &[("POST", 200); 2], true),
        edge(
            "chunks, then GET",
            chunked("2;x=y\r\n{}\r\n0\r\nA: b\r\n\r\n") + HEALTH,
            &[("POST", 200), ("GET", 200)],
            true,
        ),
        edge(
            "close, then GET",
            request("GET", PATH, "Connection: close\r\n") + HEALTH,
            &[("GET", 200)],
            false,
        ),
        edge("HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", &[("GET", 200)], false),
        edge(
            "HTTP/1.0 kept",
            "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            &[("GET", 200)],
            true,
        ),
        edge("CONNECT", request("CONNECT", "a.example:443", ""), &[("CONNECT", 400)], false),
    ]
}

fn broken_chunks() -> Vec<EdgeCase> {
    vec![
        is_400("chunk 0x2", chunked("0x2\r\n{}\r\n0\r\n\r\n")),
        is_400("chunk -1", chunked("-1\r\n{}\r\n0\r\n\r\n")),
        is_400("chunk +2", chunked("+2\r\n{}\r\n0\r\n\r\n")),
        is_400("chunk without a size", chunked("\r\n{}\r\n0\r\n\r\n")),
        is_400("chunk with a bare LF", chunked("2\n{}\r\n0\r\n\r\n")),
        is_400("chunk overflow", chunked("10000000000000002\r\n{}\r\n0\r\n\r\n")),
        is_400("chunk without CRLF", chunked("2\r\n{}0\r\n\r\n")),
        is_400("chunk longer than said", chunked("2\r\n{ }\r\n0\r\n\r\n")),
        is_400("second chunk broken", chunked("2\r\n{}\r\nzz\r\n")),
        is_400("NUL in a chunk extension", chunked("2;a\0b\r\n{}\r\n0\r\n\r\n")),
    ]
}

fn broken_heads() -> Vec<EdgeCase> {
    vec![
        is_400("length and chunks", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        is_400(
            "chunks and length",
            request("POST", PATH, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        ),
        is_400("two lengths", post("Content-Length: 3\r\n", "{}")),
        is_400("a length twice", post("Content-Length: 2\r\n", "{}")),
        is_400("length +2", request("POST", PATH, "Content-Length: +2\r\n") + "{}"),
        is_400("length -2", request("POST", PATH, "Content-Length: -2\r\n") + "{}"),
        is_400("length 2, 2", request("POST", PATH, "Content-Length: 2, 2\r\n") + "{}"),
        is_400("length too long", request("POST", PATH, "Content-Length: 99999999999999999999\r\n")),
        is_400(
            "chunks twice",
            request("POST", PATH, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ),
        is_400("gzip, chunked", request("POST", PATH, "Transfer-Encoding: gzip, chunked\r\n")),
        is_400("identity", request("POST", PATH, "Transfer-Encoding: identity\r\n")),
        is_400("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        is_400("folded header", request("GET", PATH, "A: b\r\n c\r\n")),
        is_400("space before the colon", request("GET", PATH, "A : b\r\n")),
        is_400("NUL in a header", request("GET", PATH, "A: b\0c\r\n")),
        is_400("no host", "GET / HTTP/1.1\r\n\r\n"),
        is_400("two hosts", request("GET", PATH, "Host: other\r\n")),
        is_400("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        is_400("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        is_400("HTTP/0.9", "GET /\r\n\r\n"),
        is_400("no HTTP", "SSH-2.0-OpenSSH_9.9\r\n"),
        is_400("space in the target", request("GET", "/a b", "")),
    ]
}

fn limits() -> Vec<EdgeCase> {
    let anonymous = |target: String, lines: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let long = |length: usize| "a".repeat(length);
    let header = |length: usize| format!("A: {}\r\n", long(length));
    vec![
        edge("header of 20 KB", anonymous("/health".into(), &header(20_000)), &[("GET", 431)], true),
        edge("header of 100 KB", anonymous("/health".into(), &header(100_000)), &[("GET", 431)], true),
        edge("header of 200 KB", anonymous("/health".into(), &header(200_000)), &[("GET", 431)], false),
        edge(
            "name of 70 KB",
            anonymous("/health".into(), &format!("{}: b\r\n", long(70_000))),
            &[("GET", 431)],
            false,
        ),
        edge("headers, 90", anonymous("/health".into(), &"A: b\r\n".repeat(90)), &[("GET", 431)], true),
        edge("headers, 200", anonymous("/health".into(), &"A: b\r\n".repeat(200)), &[("GET", 431)], false),
        edge("query of 9 KB", anonymous(format!("/health?{}", long(9000)), ""), &[("GET", 414)], true),
        edge(
            "query of 9 KB, with a credential",
            request("GET", &format!("{PATH}?{}", long(9000)), ""),
            &[("GET", 414)],
            true,
        ),
        edge("target of 100 KB", anonymous(format!("/{}", long(100_000)), ""), &[("GET", 414)], false),
        edge("target of 200 KB", anonymous(format!("/{}", long(200_000)), ""), &[("GET", 414)], false),
    ]
}

fn bodies() -> Vec<EdgeCase> {
    let anonymous = |lines: &str| format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let inside = format!("Content-Length: {}\r\n", HEALTH.len());
    vec![
        edge(
            "100 before 401",
            anonymous("Expect: 100-continue\r\nContent-Length: 2\r\n"),
            &[("POST", 401)],
            false,
        ),
        edge(
            "100 before 413",
            request("POST", PATH, "Expect: 100-continue\r\nContent-Length: 1048577\r\n"),
            &[("POST", 413)],
            false,
        ),
        edge(
            "100 before 404",
            request("POST", "/none", "Expect: 100-continue\r\nContent-Length: 2\r\n"),
            &[("POST", 404)],
            false,
        ),
        edge(
            "body sent together with Expect",
            post("Expect: 100-continue\r\n", "{}"),
            &[("POST", 200)],
            true,
        ),
        edge(
            "Expect without a body",
            request("GET", PATH, "Expect: 100-continue\r\n"),
            &[("GET", 200)],
            true,
        ),
        edge("Expect: foo", post("Expect: foo\r\n", "{}"), &[("POST", 417)], false),
        edge(
            "Expect: 100-continue, foo",
            post("Expect: 100-continue, foo\r\n", "{}"),
            &[("POST", 417)],
            false,
        ),
        edge("gzip", post("Content-Encoding: gzip\r\nConnection: close\r\n", "{}"), &[("POST", 415)], false),
        edge(
            "identity, gzip",
            post("Content-Encoding: identity, gzip\r\nConnection: close\r\n", "{}"),
            &[("POST", 415)],
            false,
        ),
        edge("identity", post("Content-Encoding: identity\r\n", "{}"), &[("POST", 200)], true),
        edge("gzip without a credential", anonymous("Content-Encoding: gzip\r\n"), &[("POST", 401)], true),
        edge(
            "websocket",
            post("Connection: Upgrade\r\nUpgrade: websocket\r\n", "{}"),
            &[("POST", 200)],
            true,
        ),
        edge(
            "h2c",
            post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", "{}"),
            &[("POST", 200)],
            true,
        ),
        edge("a request in a rejected body", anonymous(&inside) + HEALTH, &[("POST", 401)], false),
        edge(
            "a request in a body for health",
            format!(
                "POST /health HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n{inside}\r\n{HEALTH}"
            ),
            &[("POST", 405)],
            false,
        ),
    ]
}

pub(super) fn table() -> Vec<EdgeCase> {
    [pipelines(), broken_chunks(), broken_heads(), limits(), bodies()].into_iter().flatten().collect()
}

#[tokio::test]
async fn raw_requests_get_the_expected_response_and_connection_state() {
    let world = World::new(json!({}));
    let mut wrong = Vec::new();
    for edge in table() {
        let outcome = async {
            let mut stream = connect(world.at, &edge.request).await;
            for (nth, (method, status)) in edge.responses.iter().enumerate() {
                let Some(response) = response(&mut stream, method).await else {
                    return Err(format!("{nth}: no response"));
                };
                if response.status != *status {
                    return Err(format!("{nth}: {} and not {status}", response.status));
                }
                if *status >= 400 && *method != "HEAD" && !response.body.contains("\"requestId\":\"") {
                    return Err(format!("{nth}: no envelope: {response:?}"));
                }
            }
            let is_open = edge.stays_open && stays_open(&mut stream).await;
            let has_ended = !edge.stays_open && ends(&mut stream, raw::LONG).await;
            (is_open || has_ended).then_some(()).ok_or_else(|| format!("stays open: {}", !edge.stays_open))
        };
        if let Err(why) = outcome.await {
            wrong.push(format!("{}: {why}", edge.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let world = World::new(json!({}));
    for path in ["/health", "/openapi.json", "/docs"] {
        let mut stream = connect(world.at, request("HEAD", path, "") + &request("GET", path, "")).await;
        let head = response(&mut stream, "HEAD").await.unwrap();
        let get = response(&mut stream, "GET").await.unwrap();
        assert_eq!((head.status, get.status), (200, 200), "{path}");
        for name in ["content-length", "content-type", "etag", "cache-control", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn options_lists_the_methods_of_the_document() {
    let world = World::new(json!({}));
    for (path, allow) in [
        (PATH, "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/platforms/k3m9p2xw7q", "GET, HEAD, OPTIONS, DELETE, PATCH"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/api/v1/provisioning/jobs/01a1fdf5-8a12-72d5-b300-abb398c783da/retry", "OPTIONS, POST"),
    ] {
        let mut stream = connect(world.at, request("OPTIONS", path, "")).await;
        let response = response(&mut stream, "OPTIONS").await.unwrap();
        assert_eq!((response.status, response.header("allow")), (204, Some(allow)), "{path}");
    }
    for (bytes, status) in [
        (request("OPTIONS", "/none", ""), 404),
        (format!("OPTIONS {PATH} HTTP/1.1\r\nHost: a\r\n\r\n"), 401),
        ("OPTIONS /health HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 204),
        (request("OPTIONS", "*", ""), 204),
    ] {
        let mut stream = connect(world.at, &bytes).await;
        assert_eq!(response(&mut stream, "OPTIONS").await.unwrap().status, status, "{bytes}");
    }
}
