//! Authentication, and the identity that services receive.

use gateway::Gateway;
use reqwest::{Method, header::AUTHORIZATION};
use rstest::rstest;
use runtime::shutdown::Shutdown;
use serde_json::json;

use crate::{
    raw,
    world::{Count, KEY, World, error_of, header, keys, settings},
};

#[rstest]
#[case::none(&[])]
#[case::empty(&[""])]
#[case::no_scheme(&[KEY])]
#[case::no_credential(&["Bearer "])]
#[case::other_scheme(&["Basic dXNlcjpwYXNzd29yZA=="])]
#[case::key_under_other_scheme(&["Basic the-key-of-the-operator"])]
#[case::wrong(&["Bearer the-key-of-the-0perator"])]
#[case::other_case(&["Bearer THE-KEY-OF-THE-OPERATOR"])]
#[case::too_short(&["Bearer the-key-of-the-operato"])]
#[case::too_long(&["Bearer the-key-of-the-operator1"])]
#[case::list(&["Bearer the-key-of-the-operator, Bearer x"])]
#[case::twice(&["Bearer the-key-of-the-operator", "Bearer the-key-of-the-operator"])]
#[case::right_after_wrong(&["Bearer x", "Bearer the-key-of-the-operator"])]
#[tokio::test]
async fn unauthenticated_requests_are_rejected_first(#[case] values: &[&str]) {
    let world = World::new(json!({}));
    // Known, unknown, ambiguous and too large requests get the same response without a credential.
    let too_large = "x".repeat(2 << 20);
    for (path, body) in
        [("/api/v1/platforms", ""), ("/nothing/here", ""), ("/a/%2e%2e/b", ""), ("/", &too_large)]
    {
        let mut request = world.anonymous(Method::POST, path).body(body.to_owned());
        for value in values {
            request = request.header(AUTHORIZATION, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(error_of(response).await, (401, "UNAUTHORIZED".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn services_learn_the_caller_but_not_the_operator_key() {
    let world = World::new(json!({}));
    for scheme in ["Bearer", "bearer"] {
        let request = world
            .anonymous(Method::GET, "/api/v1/platforms")
            .header(AUTHORIZATION, format!("{scheme} {KEY}"));
        let received = world.received(request).await;
        assert_eq!((&received["caller"], &received["issuer"]), (&json!("operator"), &json!("gateway")));
        assert!(header(&received, "authorization").is_some());
        assert!(!received.to_string().contains(KEY), "{received}");
    }
}

#[tokio::test]
async fn unauthenticated_request_does_not_reach_a_service() {
    let reached = Count::default();
    let count = reached.clone();
    let service = raw::service(move |_| {
        count.add(1);
        async {}
    })
    .await;
    let world = World::with_service(service, json!({}));
    let response = world.anonymous(Method::GET, "/api/v1/platforms").send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(reached.get(), 0);
    assert_eq!(world.get("/api/v1/platforms").await.status(), 502, "the operator reaches the service");
    assert!(reached.get() > 0);
}

#[rstest]
#[case::none("")]
#[case::short("fifteen-letters")]
#[case::spaced("sixteen letters and more")]
#[tokio::test]
async fn gateway_does_not_start_with_a_weak_operator_key(#[case] key: &str) {
    let keys = keys();
    let nowhere = [([127, 0, 0, 1], 9).into(); 5];
    let settings = settings(keys.path(), nowhere, json!({ "service": { "operator_key": key } }));
    let error = Gateway::build(settings, Shutdown::new()).unwrap_err().to_string();
    assert!(error.contains("operator_key") && error.contains("16"), "{error}");
}
