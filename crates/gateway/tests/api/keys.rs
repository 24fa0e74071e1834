//! Authentication with API keys.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use rpc::iam::revocation::What;
use runtime::clock;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    iam::{FakeIam, grant},
    world::{World, error_of},
};

async fn with(world: &World, key: &str) -> reqwest::Response {
    world.anonymous(Method::GET, "/api/v1/platforms").bearer_auth(key).send().await.unwrap()
}

async fn is_rejected(world: &World, key: &str) -> bool {
    let response = with(world, key).await;
    response.status() == 401 && error_of(response).await.1 == "UNAUTHORIZED"
}

#[tokio::test]
async fn key_is_resolved_once_with_its_grant() {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({})).await;
    let (id, key) = iam.iam.key(grant("developer", Some("k3m9p2xw7q")), None);
    for _ in 0..5 {
        let received: Value = with(&world, &key).await.json().await.unwrap();
        assert_eq!(received["caller"], format!("apikey:{id}"));
        assert_eq!(
            received["grants"],
            json!([{ "role": "developer", "reach": { "platform": "k3m9p2xw7q" } }])
        );
        assert!(!received.to_string().contains(&key), "{received}");
    }
    assert_eq!(iam.iam.calls.get(), 1);
}

#[tokio::test]
async fn unknown_keys_are_rejected_and_malformed_ones_are_not_resolved() {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({})).await;
    let (id, key) = iam.iam.key(grant("viewer", None), None);
    let other_secret = format!("nno_{}_{}", id.simple(), "t".repeat(43));
    let other_id = key.replace(&id.simple().to_string(), &Uuid::now_v7().simple().to_string());
    assert!(is_rejected(&world, &other_secret).await && is_rejected(&world, &other_id).await);
    assert!(is_rejected(&world, &other_secret).await, "the rejection is cached");
    assert_eq!(iam.iam.calls.get(), 2);
    for malformed in ["nno_", "nno_x_y", &key.to_uppercase(), &format!("{key}_x"), &format!("x{key}")] {
        assert!(is_rejected(&world, malformed).await, "{malformed}");
    }
    assert_eq!(iam.iam.calls.get(), 2);
    assert_eq!(with(&world, &key).await.status(), 200, "the valid key still works");
}

#[tokio::test]
async fn revoked_key_is_rejected_at_once() {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({})).await;
    let (id, key) = iam.iam.key(grant("viewer", None), None);
    let (_, other) = iam.iam.key(grant("viewer", None), None);
    for key in [&key, &other] {
        assert_eq!(with(&world, key).await.status(), 200);
    }
    iam.iam.remove_key(id);
    assert_eq!(with(&world, &key).await.status(), 200, "the key is cached until it is revoked");
    iam.iam.revoke(What::KeyId(id.to_string())).await;
    assert!(is_rejected(&world, &key).await);
    let calls = iam.iam.calls.get();
    assert_eq!(with(&world, &other).await.status(), 200);
    assert_eq!(iam.iam.calls.get(), calls, "other keys stay cached");
    iam.iam.revoke(What::Everything(true)).await;
    assert_eq!(with(&world, &other).await.status(), 200);
    assert_eq!(iam.iam.calls.get(), calls + 1);
}

#[tokio::test]
async fn cached_key_expires() {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({})).await;
    let soon = clock::now().timestamp_millis() + 700;
    let (_, key) = iam.iam.key(grant("viewer", None), Some(soon));
    assert_eq!(with(&world, &key).await.status(), 200);
    sleep(Duration::from_millis(800)).await;
    assert!(is_rejected(&world, &key).await);
    assert_eq!(iam.iam.calls.get(), 1);
}

#[tokio::test]
async fn concurrent_first_uses_resolve_a_key_once() {
    let iam = FakeIam::slow(Duration::from_millis(200)).serve().await;
    let world = iam.world(json!({})).await;
    let (_, key) = iam.iam.key(grant("viewer", None), None);
    let responses = join_all((0..40).map(|_| with(&world, &key))).await;
    assert!(responses.iter().all(|response| response.status() == 200));
    assert_eq!(iam.iam.calls.get(), 1);
}

#[tokio::test]
async fn nothing_is_cached_without_the_revocation_stream() {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({})).await;
    let (id, key) = iam.iam.key(grant("viewer", None), None);
    assert_eq!(with(&world, &key).await.status(), 200);
    iam.iam.remove_key(id);
    iam.drop_stream();
    // The gateway opens a new stream, with an empty cache.
    let deadline = Instant::now() + Duration::from_secs(3);
    while !is_rejected(&world, &key).await {
        assert!(
            Instant::now() < deadline,
            "the gateway notices the loss of the stream long before the cached key expires"
        );
        sleep(Duration::from_millis(5)).await;
    }
    iam.iam.is_watched().await;
    world.wait_for_revocations(true).await;
    let (_, key) = iam.iam.key(grant("viewer", None), None);
    let calls = iam.iam.calls.get();
    for _ in 0..3 {
        assert_eq!(with(&world, &key).await.status(), 200);
    }
    assert_eq!(iam.iam.calls.get(), calls + 1, "the key is cached again");
}

#[tokio::test]
async fn without_iam_keys_get_503_and_the_operator_key_works() {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({})).await;
    let (_, key) = iam.iam.key(grant("viewer", None), None);
    assert_eq!(with(&world, &key).await.status(), 200);
    iam.stop();
    world.wait_for_revocations(false).await;
    let response = with(&world, &key).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(world.get("/api/v1/platforms").await.status(), 200);
    assert!(
        is_rejected(&world, "no-key-at-all-but-long-enough").await,
        "a malformed key is rejected without iam"
    );
}
