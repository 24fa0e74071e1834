//! What browsers are told: whose pages may call, and what may be done with answers.

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::json;

use crate::world::{World, header, refusal};

const OURS: &str = "https://app.example.com";
const PATH: &str = "/api/v1/platforms";

fn world() -> World {
    World::new(json!({ "service": { "cors": { "origins": [OURS, "http://localhost:3000"] } } }))
}

fn told<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
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
async fn a_preflight_of_a_known_origin_needs_no_credential() {
    let world = world();
    let answer = preflight(&world, OURS).await;
    let headers = answer.headers();
    assert_eq!(answer.status(), 204);
    assert_eq!(told(headers, "access-control-allow-origin"), Some(OURS));
    assert!(told(headers, "access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(told(headers, "access-control-allow-headers").unwrap().contains("Idempotency-Key"));
    assert_eq!(told(headers, "access-control-max-age"), Some("600"));
    assert_eq!(told(headers, "access-control-allow-credentials"), None);
    assert_eq!(told(headers, "vary"), Some("Origin"));
}

#[tokio::test]
async fn an_unknown_origin_is_told_nothing() {
    let world = world();
    for origin in [
        "https://evil.example",
        "null",
        "*",
        "https://app.example.com.evil.example",
        "http://app.example.com",
    ] {
        let answer = preflight(&world, origin).await;
        assert!(
            answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{origin}"
        );
        assert_eq!(told(answer.headers(), "vary"), Some("Origin"));
        assert_eq!(refusal(answer).await.0, 401);
        let answer = world.request(Method::GET, PATH).header("Origin", origin).send().await.unwrap();
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{origin}");
    }
    let plain = World::new(json!({}));
    let answer = plain.request(Method::GET, PATH).header("Origin", OURS).send().await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"), "nobody is known by default");
}

#[tokio::test]
async fn every_answer_to_a_known_origin_can_be_read() {
    let world = world();
    let known = world.request(Method::GET, PATH);
    let (strange, open) = (world.anonymous(Method::GET, PATH), world.anonymous(Method::GET, "/openapi.json"));
    for (request, status) in [(known, 200), (strange, 401), (open, 200)] {
        let answer = request.header("Origin", OURS).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(told(answer.headers(), "access-control-allow-origin"), Some(OURS));
        let exposed = told(answer.headers(), "access-control-expose-headers").unwrap();
        for name in ["X-Request-Id", "ETag", "RateLimit", "Retry-After", "Idempotent-Replayed", "Dry-Run"] {
            assert!(exposed.contains(name), "{name}");
        }
    }
}

#[tokio::test]
async fn answers_are_no_pages() {
    let world = World::new(json!({ "service": { "limits": { "trusted_proxies": ["127.0.0.1"] } } }));
    let ours = world.get(PATH).await;
    let refused = world.anonymous(Method::GET, PATH).send().await.unwrap();
    for answer in [&ours, &refused] {
        let headers = answer.headers();
        assert_eq!(
            told(headers, "content-security-policy"),
            Some("default-src 'none'; frame-ancestors 'none'")
        );
        assert_eq!(told(headers, "x-frame-options"), Some("DENY"));
        assert_eq!(told(headers, "x-content-type-options"), Some("nosniff"));
        assert_eq!(told(headers, "cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(told(headers, "strict-transport-security"), None);
    }
    let page = world.anonymous(Method::GET, "/docs").send().await.unwrap();
    assert!(told(page.headers(), "content-security-policy").unwrap().contains("script-src 'self'"));
    let request = || world.request(Method::GET, PATH).header("X-Forwarded-Proto", "https");
    let answer = request().send().await.unwrap();
    assert_eq!(told(answer.headers(), "strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(header(&world.told(request()).await, "x-forwarded-proto"), Some("https"));
}
