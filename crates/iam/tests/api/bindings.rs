//! Bindings over HTTP, and what the gateway is told of people.

use domain::{Grant, GrantScope, Role};
use reqwest::Method;
use rpc::{
    PeerCall,
    iam::{ResolvePersonRequest, iam_client::IamClient},
};
use serde_json::{Value, json};
use testkit::TestService;

use crate::world::{BINDINGS, World, alone, body, count, grant, person, text};

/// What the gateway is told that someone holds.
async fn held(iam: &TestService, subject: &str) -> Vec<Grant> {
    let peer = iam.peer("gateway");
    let message = ResolvePersonRequest { subject: subject.to_owned() };
    let request = peer.request(&iam.ctx("gateway"), PeerCall::default(), message).unwrap();
    let told = peer.unpack(IamClient::new(peer.channel()).resolve_person(request).await).unwrap();
    told.grants.into_iter().map(|grant| Grant::try_from(grant).unwrap()).collect()
}

#[tokio::test]
async fn a_binding_is_made_listed_held_and_deleted() {
    let world = World::start().await;
    let wanted = body(Role::Developer, &world.of_tenant(), json!({ "subject": "https://id.example|ann" }));
    let made = world.post(BINDINGS, wanted.clone()).await;
    let tag = made.header("etag").unwrap().to_owned();
    let made = made.expect(201);
    let details = world.post(BINDINGS, wanted).await.expect_error(409, "ALREADY_EXISTS");
    assert_eq!(details["subject"], "https://id.example|ann");
    let operator = body(Role::Operator, &GrantScope::All, json!({ "subject": "bob" }));
    let bobs = world.post(BINDINGS, operator.clone()).await.expect(201);
    world.post(BINDINGS, operator).await.expect_error(409, "ALREADY_EXISTS");

    assert_eq!(world.get(BINDINGS).await.expect(200)["data"], json!([bobs, made]));
    let of = async |query: &str| world.get(&format!("{BINDINGS}?{query}")).await.expect(200)["data"].clone();
    assert_eq!(of(&format!("platformId={}", world.own)).await, json!([made]));
    assert_eq!(of("subject=bob").await, json!([bobs]));
    assert_eq!(of("subject=nobody").await, json!([]));
    assert_eq!(held(&world, "https://id.example|ann").await, [grant(Role::Developer, &world.of_tenant())]);
    assert_eq!(held(&world, "nobody").await, []);
    assert_eq!(held(&world, "").await, []);

    let path = format!("{BINDINGS}/{}", text(&made, "id"));
    let stale = [("If-Match", "\"stale\"")];
    world.send(Method::DELETE, &path, &Value::Null, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    let fresh = [("If-Match", tag.as_str())];
    let gone = world.send(Method::DELETE, &path, &Value::Null, &fresh).await.expect(200);
    assert_eq!(gone, json!({ "success": true }));
    world.delete(&path).await.expect_error(404, "NOT_FOUND");
    assert_eq!(held(&world, "https://id.example|ann").await, []);
}

#[tokio::test]
async fn a_binding_is_made_once_however_often_it_is_asked_for() {
    let iam = alone().await;
    let (wanted, once) = (json!({ "subject": "ann", "role": "viewer" }), [("Idempotency-Key", "once")]);
    let first = iam.send(Method::POST, BINDINGS, &wanted, &once).await.expect(201);
    let again = iam.send(Method::POST, BINDINGS, &wanted, &once).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert_eq!(count(&iam, "bindings").await, 1);
}

#[tokio::test]
async fn everyone_sees_and_deletes_what_they_administer() {
    let world = World::start().await;
    let others = GrantScope::Platform(world.other.clone());
    let mut ids = Vec::new();
    for (role, reach) in [
        (Role::Operator, &GrantScope::All),
        (Role::PlatformAdmin, &world.all_of_own()),
        (Role::Viewer, &GrantScope::Entity(world.own.clone(), world.below.clone())),
        (Role::Viewer, &others),
    ] {
        let made = world.post(BINDINGS, body(role, reach, json!({ "subject": "ann" }))).await.expect(201);
        ids.push(text(&made, "id").to_owned());
    }
    for (own, sees) in [
        (grant(Role::PlatformAdmin, &world.all_of_own()), vec![1, 2]),
        (grant(Role::PlatformAdmin, &world.of_tenant()), vec![2]),
        (grant(Role::Developer, &world.all_of_own()), vec![]),
        (grant(Role::Operator, &GrantScope::All), vec![0, 1, 2, 3]),
    ] {
        let caller = person(vec![own]);
        let list = world.send_as(&caller, Method::GET, BINDINGS, &Value::Null).await.expect(200);
        let mut expected: Vec<&str> = sees.iter().map(|n: &usize| ids[*n].as_str()).collect();
        expected.reverse();
        let seen: Vec<&str> = list["data"].as_array().unwrap().iter().map(|one| text(one, "id")).collect();
        assert_eq!(seen, expected);
        for (n, id) in ids.iter().enumerate() {
            let tried = format!("{BINDINGS}/{id}?dryRun=true");
            let answer = world.send_as(&caller, Method::DELETE, &tried, &Value::Null).await;
            assert_eq!(answer.status.as_u16(), if sees.contains(&n) { 200 } else { 404 });
        }
    }
    assert_eq!(count(&world, "bindings").await, 4);
}
