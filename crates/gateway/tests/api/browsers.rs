//! Cross-origin requests and security headers.

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::json;

use crate::world::{World, error_of, header};

const ALLOWED: &str = "https://app.example.com";
const PATH: &str = "/api/v1/platforms";

fn world() -> World {
    World::new(json!({ "service": { "cors": { "origins": [ALLOWED, "http://localhost:3000"] } } }))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

async fn preflight(world: &World, origin: &str) -> Response {
    world
        .anonymous(Method::OPTIONS, PATH)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "authorization,idempotency-key")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn preflight_of_an_allowed_origin_needs_no_credential() {
    let world = world();
    let response = preflight(&world, ALLOWED).await;
    let headers = response.headers();
    assert_eq!(response.status(), 204);
    assert_eq!(text(headers, "access-control-allow-origin"), Some(ALLOWED));
    assert!(text(headers, "access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(text(headers, "access-control-allow-headers").unwrap().contains("Idempotency-Key"));
    assert_eq!(text(headers, "access-control-max-age"), Some("600"));
    assert_eq!(text(headers, "access-control-allow-credentials"), None);
    assert_eq!(text(headers, "vary"), Some("Origin"));
}

#[tokio::test]
async fn unknown_origin_gets_no_cors_headers() {
    let world = world();
    for origin in [
        "https://evil.example",
        "null",
        "*",
        "https://app.example.com.evil.example",
        "http://app.example.com",
    ] {
        let response = preflight(&world, origin).await;
        assert!(
            response.headers().keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{origin}"
        );
        assert_eq!(text(response.headers(), "vary"), Some("Origin"));
        assert_eq!(error_of(response).await.0, 401);
        let response = world.request(Method::GET, PATH).header("Origin", origin).send().await.unwrap();
        assert!(!response.headers().contains_key("access-control-allow-origin"), "{origin}");
    }
    let plain = World::new(json!({}));
    let response = plain.request(Method::GET, PATH).header("Origin", ALLOWED).send().await.unwrap();
    assert!(
        !response.headers().contains_key("access-control-allow-origin"),
        "no origin is allowed by default"
    );
}

#[tokio::test]
async fn allowed_origin_can_read_every_response() {
    let world = world();
    let operator = world.request(Method::GET, PATH);
    let (anonymous, public) =
        (world.anonymous(Method::GET, PATH), world.anonymous(Method::GET, "/openapi.json"));
    for (request, status) in [(operator, 200), (anonymous, 401), (public, 200)] {
        let response = request.header("Origin", ALLOWED).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(text(response.headers(), "access-control-allow-origin"), Some(ALLOWED));
        let exposed = text(response.headers(), "access-control-expose-headers").unwrap();
        for name in ["X-Request-Id", "ETag", "RateLimit", "Retry-After", "Idempotent-Replayed", "Dry-Run"] {
            assert!(exposed.contains(name), "{name}");
        }
    }
}

#[tokio::test]
async fn responses_have_security_headers() {
    let world = World::new(json!({ "service": { "limits": { "trusted_proxies": ["127.0.0.1"] } } }));
    let success = world.get(PATH).await;
    let rejected = world.anonymous(Method::GET, PATH).send().await.unwrap();
    for response in [&success, &rejected] {
        let headers = response.headers();
        assert_eq!(
            text(headers, "content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'")
        );
        assert_eq!(text(headers, "x-frame-options"), Some("DENY"));
        assert_eq!(text(headers, "x-content-type-options"), Some("nosniff"));
        assert_eq!(text(headers, "cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(text(headers, "strict-transport-security"), None);
    }
    let page = world.anonymous(Method::GET, "/docs").send().await.unwrap();
    assert!(text(page.headers(), "content-security-policy").unwrap().contains("script-src 'self'"));
    let request = || world.request(Method::GET, PATH).header("X-Forwarded-Proto", "https");
    let response = request().send().await.unwrap();
    assert_eq!(text(response.headers(), "strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(header(&world.received(request()).await, "x-forwarded-proto"), Some("https"));
}
