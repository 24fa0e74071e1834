//! Settings that change while the gateway runs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{KEY, World, refusal};

const PATH: &str = "/api/v1/platforms";
const OTHER: &str = "another-key-of-the-operator";

async fn status(world: &World, key: &str) -> u16 {
    world.anonymous(Method::GET, PATH).bearer_auth(key).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn what_is_told_anew_holds_at_once() {
    let world = World::new(json!({}));
    assert_eq!((status(&world, KEY).await, status(&world, OTHER).await), (200, 401));
    let origin = "https://app.example.com";
    world
        .reload(json!({ "service": {
            "operator_key": OTHER,
            "cors": { "origins": origin },
            "limits": { "per_caller_per_second": 1, "per_caller_burst": 2 },
            "upstreams": { "onboarding": { "url": "http://127.0.0.1:9" } },
        }}))
        .unwrap();
    let request = || world.anonymous(Method::GET, PATH).bearer_auth(OTHER);
    let answer = request().header("Origin", origin).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), status(&world, KEY).await), (200, 401));
    assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    let moved = world.anonymous(Method::GET, "/api/v1/onboarding").bearer_auth(OTHER).send().await.unwrap();
    assert_eq!(refusal(moved).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(request().send().await.unwrap().status(), 429);
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let world = World::new(json!({}));
    let bad: [(Value, &str); 6] = [
        (json!({ "operator_key": "short" }), "operator_key"),
        (json!({ "upstreams": { "registry": { "url": "nowhere" } } }), "registry"),
        (json!({ "cors": { "origins": ["*"] } }), "cors"),
        (json!({ "limits": { "trusted_proxies": ["everyone"] } }), "trusted_proxies"),
        (json!({ "oidc": { "issuers": { "a": { "issuer": "x", "audiences": ["y"] } } } }), "issuers.a"),
        (json!({ "iam": { "url": "not a url" } }), "iam"),
    ];
    for (mut service, part) in bad {
        // What is good beside what is bad is not taken either.
        if service.get("operator_key").is_none() {
            service["operator_key"] = json!(OTHER);
        }
        let told = format!("{:#}", world.reload(json!({ "service": service })).unwrap_err());
        assert!(told.contains(part), "{told}");
        assert_eq!((status(&world, KEY).await, status(&world, OTHER).await), (200, 401), "{part}");
    }
}

#[tokio::test]
async fn what_needs_a_restart_is_told() {
    let world = World::new(json!({}));
    assert!(world.reload(json!({})).unwrap().is_empty());
    let other = json!({ "http": { "workers": 7 }, "telemetry": { "log": "debug" } });
    assert_eq!(world.reload(other).unwrap(), ["http", "telemetry"]);
}
