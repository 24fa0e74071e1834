//! Authentication with tokens of OpenID Connect issuers.

mod attacks;
mod issuer;
mod rotation;
mod sources;

use reqwest::{Method, Response};
use rpc::iam::revocation::What;
use rstest::rstest;
use runtime::{config, shutdown::Shutdown};
use serde_json::{Value, json};

use self::issuer::{Issuer, Key};
use crate::{
    iam::{FakeIam, Running, grant},
    world::{World, error_of, keys, settings},
};

async fn with(world: &World, token: &str) -> Response {
    world.anonymous(Method::GET, "/api/v1/platforms").bearer_auth(token).send().await.unwrap()
}

/// Starts a gateway that trusts an issuer, with a fake iam.
async fn world_for(issuer: &Issuer) -> (World, Running) {
    world_with(issuer, json!({})).await
}

/// Starts a gateway that trusts an issuer, with overrides of the issuer's settings.
async fn world_with(issuer: &Issuer, over: Value) -> (World, Running) {
    let iam = FakeIam::default().serve().await;
    let mut settings = issuer.settings();
    config::merge(&mut settings, over);
    let oidc = json!({ "issuers": { "staff": settings } });
    let world = iam.world(json!({ "oidc": oidc, "limits": { "failures_per_minute": 0 } })).await;
    (world, iam)
}

async fn is_rejected(world: &World, token: &str) -> bool {
    let response = with(world, token).await;
    response.status() == 401 && error_of(response).await.1 == "UNAUTHORIZED"
}

#[rstest]
#[case::ed25519(Key::ed("k", 1))]
#[case::p256(Key::ec("k", 1))]
#[case::rsa(Key::rsa("k"))]
#[tokio::test]
async fn token_identifies_a_person_and_their_grants(#[case] key: Key) {
    let issuer = Issuer::with(&[&key]);
    let (world, iam) = world_for(&issuer).await;
    let own = json!({ "role": "developer", "reach": { "platform": "k3m9p2xw7q" } });
    let bound = json!({ "role": "viewer", "reach": "all" });
    iam.iam.bind("staff:alice", grant("viewer", None));
    let received: Value = with(&world, &key.sign(&issuer.claims())).await.json().await.unwrap();
    assert_eq!((&received["caller"], &received["actor"]), (&json!("user:staff:alice"), &json!("user")));
    assert_eq!(received["grants"], json!([own, bound]));
    let many = issuer.claims_with(json!({ "aud": ["other", "nno-cli"], "roles": "admins", "sub": "bob" }));
    let received: Value = with(&world, &key.sign(&many)).await.json().await.unwrap();
    assert_eq!(received["grants"], json!([{ "role": "operator", "reach": "all" }]));
    let nobody = issuer.claims_with(json!({ "roles": ["king"], "sub": "carol" }));
    let received: Value = with(&world, &key.sign(&nobody)).await.json().await.unwrap();
    assert_eq!((&received["caller"], &received["grants"]), (&json!("user:staff:carol"), &json!([])));
}

#[tokio::test]
async fn removed_binding_takes_effect_at_once() {
    let key = Key::ed("k", 1);
    let issuer = Issuer::with(&[&key]);
    let (world, iam) = world_for(&issuer).await;
    iam.iam.bind("staff:alice", grant("platform-admin", Some("k3m9p2xw7q")));
    let token = key.sign(&issuer.claims_with(json!({ "roles": [] })));
    let count = async || {
        let received: Value = with(&world, &token).await.json().await.unwrap();
        received["grants"].as_array().unwrap().len()
    };
    assert_eq!((count().await, count().await), (1, 1));
    assert_eq!(iam.iam.calls.get(), 1, "the grants are cached");
    iam.iam.unbind("staff:alice");
    iam.iam.revoke(What::Subject("staff:alice".to_owned())).await;
    assert_eq!(count().await, 0);
    iam.stop();
    world.wait_for_revocations(false).await;
    assert_eq!(error_of(with(&world, &token).await).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
}

#[tokio::test]
async fn issuers_are_kept_apart() {
    let (one, other) = (Key::ed("k", 1), Key::ed("k", 2));
    let (first, second) = (Issuer::with(&[&one]), Issuer::with(&[&other]));
    let mut of_second = second.settings();
    of_second["subject_prefix"] = json!("");
    let iam = FakeIam::default().serve().await;
    let issuers = json!({ "staff": first.settings(), "guests": of_second });
    let world = iam.world(json!({ "oidc": { "issuers": issuers } })).await;
    let received: Value = with(&world, &other.sign(&second.claims())).await.json().await.unwrap();
    assert_eq!(received["caller"], "user:alice");
    assert_eq!(with(&world, &one.sign(&first.claims())).await.status(), 200);
    assert!(is_rejected(&world, &one.sign(&second.claims())).await, "another issuer signed the token");
    let same = json!({ "a": first.settings(), "b": first.settings() });
    let dir = keys();
    let nowhere = [([127, 0, 0, 1], 9).into(); 5];
    let settings = settings(dir.path(), nowhere, json!({ "service": { "oidc": { "issuers": same } } }));
    let error = format!("{:#}", gateway::Gateway::build(settings, Shutdown::new()).unwrap_err());
    assert!(error.contains("same issuer"), "{error}");
}
