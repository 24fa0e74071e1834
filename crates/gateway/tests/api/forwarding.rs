//! Routing, and the changes that the gateway makes to requests and responses.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::{
    raw,
    world::{World, error_of, header},
};

const SESSION: &str = "/0199c0de-0000-7000-8000-000000000001";

#[rstest]
#[case("GET", "/api/v1/platforms", "registry", "/api/v1/platforms")]
#[case(
    "PATCH",
    "/api/v1/platforms/abcdefghij?dryRun=true",
    "registry",
    "/api/v1/platforms/abcdefghij?dryRun=true"
)]
#[case("GET", "/api/v1/platforms/abcdefghij/stacks", "registry", "/api/v1/platforms/abcdefghij/stacks")]
#[case("GET", "/api/v1/resources/lookup?cfName=a%20b", "registry", "/api/v1/resources/lookup?cfName=a%20b")]
#[case("GET", "/api/v1/lookup", "registry", "/api/v1/lookup")]
#[case("GET", "/api/v1/audit?from=1&from=2", "registry", "/api/v1/audit?from=1&from=2")]
#[case("GET", "/api/v1/domains/pending", "registry", "/api/v1/domains/pending")]
#[case("POST", "/api/v1/stacks", "stack-registry", "/api/v1/stacks")]
#[case("GET", "/api/v1/stacks/crm/1.0.0", "stack-registry", "/api/v1/stacks/crm/1.0.0")]
#[case("POST", "/api/v1/onboarding", "onboarding", "/api/v1/onboarding")]
#[case("GET", "/api/v1/onboarding/admin/sessions", "onboarding", "/api/v1/onboarding/admin/sessions")]
#[case("DELETE", "/api/v1/onboarding/x", "onboarding", "/api/v1/onboarding/x")]
#[case("POST", "/", "onboarding", "/")]
#[case("GET", "/admin/sessions?limit=1", "onboarding", "/admin/sessions?limit=1")]
#[case("GET", SESSION, "onboarding", SESSION)]
#[case("PATCH", SESSION, "onboarding", SESSION)]
#[case("POST", "/api/v1/provisioning/platform", "provisioning", "/api/v1/provision/platform")]
#[case("GET", "/api/v1/provisioning/jobs/1?a=/../b", "provisioning", "/api/v1/provision/jobs/1?a=/../b")]
#[tokio::test]
async fn each_path_is_routed_to_its_service(
    #[case] method: Method,
    #[case] path: &str,
    #[case] service: &str,
    #[case] internal: &str,
) {
    let world = World::new(json!({}));
    let received = world.received(world.request(method.clone(), path)).await;
    assert_eq!(received["service"], service);
    assert_eq!(received["uri"], internal);
    assert_eq!(received["method"], method.as_str());
    assert_eq!(received["caller"], "operator", "the token is for this service");
}

#[rstest]
#[case::unknown("/nothing", 404, "NOT_FOUND")]
#[case::api_root("/api/v1", 404, "NOT_FOUND")]
#[case::longer_word("/api/v1/platformsx", 404, "NOT_FOUND")]
#[case::not_a_session("/session-1", 404, "NOT_FOUND")]
#[case::inner_name("/api/v1/provision/jobs", 404, "NOT_FOUND")]
#[case::encoded_prefix("/%61pi/v1/platforms", 404, "NOT_FOUND")]
#[case::dots("/api/v1/stacks/../platforms", 400, "VALIDATION_ERROR")]
#[case::encoded_dots("/api/v1/stacks/%2e%2e/platforms", 400, "VALIDATION_ERROR")]
#[case::half_encoded_dots("/api/v1/stacks/.%2E/platforms", 400, "VALIDATION_ERROR")]
#[case::encoded_slash("/api/v1/stacks%2f..%2fplatforms", 400, "VALIDATION_ERROR")]
#[case::double_slash("/api/v1//platforms", 400, "VALIDATION_ERROR")]
#[case::leading_double_slash("//api/v1/platforms", 400, "VALIDATION_ERROR")]
#[case::nul("/api/v1/platforms/%00", 400, "VALIDATION_ERROR")]
#[case::backslash("/api/v1/stacks/..%5cplatforms", 400, "VALIDATION_ERROR")]
#[case::half_escape("/api/v1/platforms/%2", 400, "VALIDATION_ERROR")]
#[tokio::test]
async fn ambiguous_and_unknown_paths_are_rejected(
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let world = World::new(json!({}));
    // A client library would normalize the path.
    let response = raw::send(world.at, raw::request("GET", path, "Connection: close\r\n").as_bytes()).await;
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    assert!(response.contains(&format!("\"code\":\"{code}\"")), "{response}");
}

#[tokio::test]
async fn target_may_be_an_absolute_uri() {
    let world = World::new(json!({}));
    let head = raw::request("GET", "http://elsewhere.example/api/v1/audit?x=1", "Connection: close\r\n");
    let response = raw::send(world.at, head.as_bytes()).await;
    assert!(
        response.starts_with("HTTP/1.1 200 ") && response.contains("\"uri\":\"/api/v1/audit?x=1\""),
        "{response}"
    );
}

#[rstest]
#[case("TRACE")]
#[case("CONNECT")]
#[case("BREW")]
#[tokio::test]
async fn other_methods_are_rejected(#[case] method: &str) {
    let world = World::new(json!({}));
    let head = raw::request(method, "/api/v1/platforms", "Connection: close\r\n");
    let response = raw::send(world.at, head.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 405 ") && response.contains("METHOD_NOT_ALLOWED"), "{response}");
    assert!(response.contains("allow: GET, HEAD, OPTIONS, POST\r\n"), "{response}");
    assert!(response.contains("\"allowed\":[\"GET\",\"HEAD\",\"OPTIONS\",\"POST\"]"), "{response}");
    let stranger = format!("{method} /api/v1/platforms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = raw::send(world.at, stranger.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
}

#[tokio::test]
async fn request_headers_are_forwarded_filtered_or_set() {
    let world = World::new(json!({}));
    let lines = "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nTE: trailers\r\nProxy-Authorization: p\r\n\
        Upgrade: h2c\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: evil\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Prefix: /x\r\nX-Real-IP: 10.0.0.1\r\nIdempotency-Key: k-1\r\n\
        If-Match: \"a\"\r\nX-Own: kept\r\n";
    let response = raw::send(world.at, raw::request("GET", "/api/v1/platforms", lines).as_bytes()).await;
    let received = serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap();
    for (name, value) in [
        ("idempotency-key", Some("k-1")),
        ("if-match", Some("\"a\"")),
        ("x-own", Some("kept")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-host", Some("gateway")),
        ("x-forwarded-proto", Some("http")),
        ("x-hop", None),
        ("keep-alive", None),
        ("te", None),
        ("proxy-authorization", None),
        ("upgrade", None),
        ("forwarded", None),
        ("x-forwarded-prefix", None),
        ("x-real-ip", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(header(&received, name), value, "{name} in {received}");
    }
    let host = header(&received, "host").unwrap();
    assert!(host.starts_with("127.0.0.1:"), "the service's own name, not {host}");
}

#[tokio::test]
async fn response_headers_are_forwarded_or_filtered() {
    let raw_response = "HTTP/1.1 201 Created\r\nServer: secret/1.0\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
        Keep-Alive: timeout=5\r\nETag: \"e\"\r\nIdempotent-Replayed: true\r\nDry-Run: true\r\nSet-Cookie: a=1\r\n\
        Set-Cookie: b=2\r\nCache-Control: private\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\n{}";
    let world = World::with_service(raw::fixed_response(raw_response, false).await, json!({}));
    let response =
        world.request(Method::POST, "/api/v1/platforms").header("x-request-id", "ours").send().await.unwrap();
    assert_eq!(response.status(), 201);
    let values = |name: &str| -> Vec<&str> {
        response.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    };
    for (name, expected) in [
        ("etag", &["\"e\""][..]),
        ("idempotent-replayed", &["true"]),
        ("dry-run", &["true"]),
        ("set-cookie", &["a=1", "b=2"]),
        ("cache-control", &["private"]),
        ("x-request-id", &["ours"]),
        ("content-length", &["2"]),
        ("x-content-type-options", &["nosniff"]),
        ("referrer-policy", &["no-referrer"]),
        ("server", &[]),
        ("x-hop", &[]),
        ("keep-alive", &[]),
        ("transfer-encoding", &[]),
    ] {
        assert_eq!(values(name), expected, "{name}");
    }
    assert_eq!(response.text().await.unwrap(), "{}");
}

#[tokio::test]
async fn responses_are_not_cacheable_by_default() {
    let world = World::new(json!({}));
    assert_eq!(world.get("/api/v1/platforms").await.headers()["cache-control"], "no-store");
    assert_eq!(world.get("/nothing").await.headers()["cache-control"], "no-store");
}

#[rstest]
#[case::uuid("0199c0de-0000-7000-8000-000000000001", true)]
#[case::token("trace.me:7_x-1", true)]
#[case::longest(&"a".repeat(128), true)]
#[case::too_long(&"a".repeat(129), false)]
#[case::spaced("a b", false)]
#[case::marked_up("<script>", false)]
#[case::empty("", false)]
#[tokio::test]
async fn well_formed_request_id_is_kept_and_others_are_replaced(#[case] id: &str, #[case] kept: bool) {
    let world = World::new(json!({}));
    for path in ["/api/v1/platforms", "/nothing"] {
        let response = world.request(Method::GET, path).header("x-request-id", id).send().await.unwrap();
        let answered = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(answered == id, kept, "{answered}");
        assert!(kept || uuid::Uuid::try_parse(&answered).is_ok(), "{answered}");
        let body: serde_json::Value = response.json().await.unwrap();
        let inside = if path == "/nothing" {
            body["error"]["requestId"].as_str()
        } else {
            header(&body, "x-request-id")
        };
        assert_eq!(inside, Some(answered.as_str()), "all parties use one id");
    }
}

#[tokio::test]
async fn trace_continues_through_the_gateway() {
    let world = World::new(json!({}));
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let request = world
        .request(Method::GET, "/api/v1/platforms")
        .header("traceparent", format!("00-{trace}-{span}-01"));
    let received = world.received(request).await;
    let parts: Vec<&str> = header(&received, "traceparent").unwrap().split('-').collect();
    assert_eq!(parts[1], trace, "the trace is the same");
    assert_ne!(parts[2], span, "the gateway has its own span");
    let received = world.received(world.request(Method::GET, "/api/v1/platforms")).await;
    assert_ne!(header(&received, "traceparent").unwrap().split('-').nth(1), Some(trace), "a new trace");
}

#[tokio::test]
async fn responses_without_a_body_are_forwarded_without_one() {
    let cases = [
        ("HTTP/1.1 204 No Content\r\nETag: \"e\"\r\n\r\n", Method::DELETE, 204, None),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n", Method::GET, 304, None),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nContent-Length: 9\r\n\r\n", Method::GET, 304, None),
        ("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 9\r\n\r\n", Method::HEAD, 200, Some("9")),
        ("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\n\r\n", Method::HEAD, 200, None),
        ("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n", Method::GET, 200, Some("0")),
    ];
    for (raw_response, method, status, length) in cases {
        let world = World::with_service(raw::fixed_response(raw_response, false).await, json!({}));
        for _ in 0..2 {
            let response = world.request(method.clone(), "/api/v1/platforms").send().await.unwrap();
            assert_eq!(response.status(), status, "{raw_response}");
            assert_eq!(response.headers()["etag"], "\"e\"");
            let declared =
                response.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(declared.as_deref(), length, "{raw_response}");
            assert_eq!(response.text().await.unwrap(), "");
        }
    }
}

#[tokio::test]
async fn bodies_are_complete_with_and_without_a_length() {
    let world = World::new(json!({}));
    for length in [0, 1, 100_000, 1_048_576] {
        let sized = world.request(Method::POST, "/api/v1/platforms").body("x".repeat(length));
        let received = world.received(sized).await;
        assert_eq!(
            (&received["length"], header(&received, "content-length")),
            (&json!(length), Some(&*length.to_string()))
        );
        let pieces = (0..length.div_ceil(1000))
            .map(move |n| Ok::<_, std::io::Error>("x".repeat(1000.min(length - n * 1000))));
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
        let received = world.received(world.request(Method::PATCH, "/api/v1/stacks/a").body(body)).await;
        assert_eq!(received["length"], length);
    }
}

#[tokio::test]
async fn error_of_a_service_is_forwarded_unchanged() {
    let raw_response = "HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 98\r\n\r\n\
        {\"error\":{\"code\":\"ALREADY_EXISTS\",\"message\":\"it is there\",\"requestId\":\"x\",\"details\":{\"slug\":\"a\"}}}";
    let world = World::with_service(raw::fixed_response(raw_response, false).await, json!({}));
    let response =
        world.request(Method::POST, "/api/v1/platforms").header("x-request-id", "x").send().await.unwrap();
    assert_eq!(error_of(response).await, (409, "ALREADY_EXISTS".to_owned()));
}
