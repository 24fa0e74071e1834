//! Rotation of keys, and issuers that cannot be reached.

use futures_util::future::join_all;
use serde_json::json;
use testkit::Authority;

use super::{
    is_rejected,
    issuer::{Issuer, Key},
    with, world_for, world_with,
};
use crate::world::error_of;

#[tokio::test]
async fn unknown_key_id_causes_a_fetch() {
    let (old, new) = (Key::ed("old", 1), Key::ed("new", 2));
    let issuer = Issuer::with(&[&old]);
    let (world, _iam) = world_for(&issuer).await;
    assert_eq!(with(&world, &old.sign(&issuer.claims())).await.status(), 200);
    assert_eq!(issuer.fetched.get(), 1);
    issuer.set_keys(&[new.public()]);
    assert_eq!(with(&world, &new.sign(&issuer.claims())).await.status(), 200);
    assert_eq!(issuer.fetched.get(), 2);
    assert!(is_rejected(&world, &old.sign(&issuer.claims())).await, "the old key is no longer trusted");
}

#[tokio::test]
async fn forged_key_ids_cause_one_fetch() {
    let (good, bad) = (Key::ed("good", 1), Key::ed("bad", 2));
    let issuer = Issuer::with(&[&good]);
    let (world, _iam) = world_for(&issuer).await;
    assert_eq!(with(&world, &good.sign(&issuer.claims())).await.status(), 200);
    let before = issuer.fetched.get();
    let tokens: Vec<String> = (0..60)
        .map(|n| bad.sign_as(&json!({ "alg": "EdDSA", "kid": format!("bad-{n}") }), &issuer.claims()))
        .collect();
    let rejected = join_all(tokens.iter().map(|token| is_rejected(&world, token))).await;
    assert!(rejected.into_iter().all(|rejected| rejected));
    assert_eq!(issuer.fetched.get() - before, 1);
    assert_eq!(with(&world, &good.sign(&issuer.claims())).await.status(), 200);
}

#[tokio::test]
async fn last_keys_stay_in_use() {
    let (good, bad) = (Key::ed("good", 1), Key::ed("bad", 2));
    let issuer = Issuer::with(&[&good]);
    let (world, _iam) = world_for(&issuer).await;
    assert_eq!(with(&world, &good.sign(&issuer.claims())).await.status(), 200);
    issuer.stop();
    let before = issuer.fetched.get();
    assert!(is_rejected(&world, &bad.sign(&issuer.claims())).await);
    assert_eq!(issuer.fetched.get() - before, 1, "the gateway tried to fetch the keys");
    assert_eq!(with(&world, &good.sign(&issuer.claims())).await.status(), 200);
}

#[tokio::test]
async fn issuer_without_fetched_keys_yields_503() {
    let key = Key::ed("k", 1);
    let (stopped, misnamed) = (Issuer::with(&[&key]), Issuer::with(&[&key]));
    stopped.stop();
    misnamed.set_name("https://login.example.com");
    for issuer in [stopped, misnamed] {
        let (world, _iam) = world_for(&issuer).await;
        let response = with(&world, &key.sign(&issuer.claims())).await;
        assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
        assert_eq!(world.get("/api/v1/platforms").await.status(), 200, "the operator is not affected");
    }
}

#[tokio::test]
async fn token_without_key_id_needs_a_single_key() {
    let (one, two) = (Key::ed("one", 1), Key::ed("two", 2));
    let issuer = Issuer::with(&[&one]);
    let (world, _iam) = world_for(&issuer).await;
    let nameless = one.sign_as(&json!({ "alg": "EdDSA" }), &issuer.claims());
    assert_eq!(with(&world, &nameless).await.status(), 200);
    let issuer = Issuer::with(&[&one, &two]);
    let (world, _iam) = world_for(&issuer).await;
    let nameless = one.sign_as(&json!({ "alg": "EdDSA" }), &issuer.claims());
    assert!(is_rejected(&world, &nameless).await);
    assert_eq!(with(&world, &one.sign(&issuer.claims())).await.status(), 200);
    let mut for_encryption = one.public();
    for_encryption["use"] = json!("enc");
    let issuer = Issuer::with(&[&two]);
    issuer.set_keys(&[for_encryption, two.public()]);
    let (world, _iam) = world_for(&issuer).await;
    assert_eq!(with(&world, &two.sign(&issuer.claims())).await.status(), 200);
    assert!(
        is_rejected(&world, &one.sign(&issuer.claims())).await,
        "an encryption key must not verify signatures"
    );
}

#[tokio::test]
async fn keys_are_fetched_only_from_a_trusted_server() {
    let (key, authority, folder) = (Key::ed("k", 1), Authority::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, &authority.pem).unwrap();
    let issuer = Issuer::with_tls(Some(authority.server("127.0.0.1")), &[&key]);
    let (world, _iam) = world_with(&issuer, json!({ "authority": file })).await;
    assert_eq!(with(&world, &key.sign(&issuer.claims())).await.status(), 200);
    // One certificate has a different host name; the other is from an unknown authority.
    let misnamed = Issuer::with_tls(Some(authority.server("login.example.com")), &[&key]);
    let unknown = Issuer::with_tls(Some(Authority::new().server("127.0.0.1")), &[&key]);
    for (issuer, over) in [
        (&misnamed, json!({ "authority": file })),
        (&unknown, json!({ "authority": file })),
        (&issuer, json!({})),
    ] {
        let (world, _iam) = world_with(issuer, over).await;
        let response = with(&world, &key.sign(&issuer.claims())).await;
        assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    }
}
