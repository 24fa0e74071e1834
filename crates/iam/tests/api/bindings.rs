//! Bindings over HTTP, and the grants of users that the gateway resolves.

use domain::{Grant, GrantScope, Role};
use reqwest::Method;
use rpc::{
    PeerCall,
    iam::{ResolvePersonRequest, iam_client::IamClient},
};
use serde_json::{Value, json};
use testkit::TestService;

use crate::world::{BINDINGS, World, alone, body, count, grant, person, text};

/// The grants of a user, as the gateway resolves them.
async fn resolved(iam: &TestService, subject: &str) -> Vec<Grant> {
    let peer = iam.peer("gateway");
    let message = ResolvePersonRequest { subject: subject.to_owned() };
    let request = peer.request(&iam.ctx("gateway"), PeerCall::default(), message).unwrap();
    let response = peer.unpack(IamClient::new(peer.channel()).resolve_person(request).await).unwrap();
    response.grants.into_iter().map(|grant| Grant::try_from(grant).unwrap()).collect()
}

#[tokio::test]
async fn binding_is_created_listed_resolved_and_deleted() {
    let world = World::start().await;
    let new = body(Role::Developer, &world.of_tenant(), json!({ "subject": "https://id.example|ann" }));
    let created = world.post(BINDINGS, new.clone()).await;
    let tag = created.header("etag").unwrap().to_owned();
    let created = created.expect(201);
    let details = world.post(BINDINGS, new).await.expect_error(409, "ALREADY_EXISTS");
    assert_eq!(details["subject"], "https://id.example|ann");
    let operator = body(Role::Operator, &GrantScope::All, json!({ "subject": "bob" }));
    let bobs = world.post(BINDINGS, operator.clone()).await.expect(201);
    world.post(BINDINGS, operator).await.expect_error(409, "ALREADY_EXISTS");

    assert_eq!(world.get(BINDINGS).await.expect(200)["data"], json!([bobs, created]));
    let of = async |query: &str| world.get(&format!("{BINDINGS}?{query}")).await.expect(200)["data"].clone();
    assert_eq!(of(&format!("platformId={}", world.own)).await, json!([created]));
    assert_eq!(of("subject=bob").await, json!([bobs]));
    assert_eq!(of("subject=nobody").await, json!([]));
    assert_eq!(
        resolved(&world, "https://id.example|ann").await,
        [grant(Role::Developer, &world.of_tenant())]
    );
    assert_eq!(resolved(&world, "nobody").await, []);
    assert_eq!(resolved(&world, "").await, []);

    let path = format!("{BINDINGS}/{}", text(&created, "id"));
    let stale = [("If-Match", "\"stale\"")];
    world.send(Method::DELETE, &path, &Value::Null, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    let fresh = [("If-Match", tag.as_str())];
    let deleted = world.send(Method::DELETE, &path, &Value::Null, &fresh).await.expect(200);
    assert_eq!(deleted, json!({ "success": true }));
    world.delete(&path).await.expect_error(404, "NOT_FOUND");
    assert_eq!(resolved(&world, "https://id.example|ann").await, []);
}

#[tokio::test]
async fn repeated_request_creates_one_binding() {
    let iam = alone().await;
    let (body, once) = (json!({ "subject": "ann", "role": "viewer" }), [("Idempotency-Key", "once")]);
    let first = iam.send(Method::POST, BINDINGS, &body, &once).await.expect(201);
    let again = iam.send(Method::POST, BINDINGS, &body, &once).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(201), first);
    assert_eq!(count(&iam, "bindings").await, 1);
}

#[tokio::test]
async fn callers_see_and_delete_the_bindings_that_they_administer() {
    let world = World::start().await;
    let other = GrantScope::Platform(world.other.clone());
    let mut ids = Vec::new();
    for (role, scope) in [
        (Role::Operator, &GrantScope::All),
        (Role::PlatformAdmin, &world.all_of_own()),
        (Role::Viewer, &GrantScope::Entity(world.own.clone(), world.child.clone())),
        (Role::Viewer, &other),
    ] {
        let created = world.post(BINDINGS, body(role, scope, json!({ "subject": "ann" }))).await.expect(201);
        ids.push(text(&created, "id").to_owned());
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
            let dry_run = format!("{BINDINGS}/{id}?dryRun=true");
            let answer = world.send_as(&caller, Method::DELETE, &dry_run, &Value::Null).await;
            assert_eq!(answer.status.as_u16(), if sees.contains(&n) { 200 } else { 404 });
        }
    }
    assert_eq!(count(&world, "bindings").await, 4);
}
