//! Two at once.

use diesel_async::SimpleAsyncConnection;
use domain::{GrantScope, Role};
use rpc::{
    PeerCall,
    iam::{EnsureBindingRequest, iam_client::IamClient},
};
use serde_json::json;

use crate::world::{BINDINGS, KEYS, World, alone, count, grant, text};

#[tokio::test]
async fn of_two_who_revoke_one_does() {
    let world = World::start().await;
    for _ in 0..10 {
        let made = world.key(Role::Viewer, &world.all_of_own()).await;
        let path = format!("{KEYS}/{}", text(&made, "id"));
        let (one, other) = tokio::join!(world.delete(&path), world.delete(&path));
        let mut told = [one.status.as_u16(), other.status.as_u16()];
        told.sort_unstable();
        assert_eq!(told, [200, 404]);
    }
    assert_eq!(count(&world, "audit_log WHERE action = 'key.revoked'").await, 10);
    assert_eq!(count(&world, "revocations").await, 10);
}

#[tokio::test]
async fn of_two_who_delete_a_binding_one_does() {
    let iam = alone().await;
    for _ in 0..10 {
        let made = iam.post(BINDINGS, json!({ "subject": "ann", "role": "viewer" })).await.expect(201);
        let path = format!("{BINDINGS}/{}", text(&made, "id"));
        let (one, other) = tokio::join!(iam.delete(&path), iam.delete(&path));
        let mut told = [one.status.as_u16(), other.status.as_u16()];
        told.sort_unstable();
        assert_eq!(told, [200, 404]);
    }
    assert_eq!(count(&iam, "audit_log WHERE action = 'binding.deleted'").await, 10);
}

#[tokio::test]
async fn of_two_who_grant_the_same_one_does() {
    let iam = alone().await;
    for n in 0..10 {
        let body = json!({ "subject": format!("person {n}"), "role": "viewer" });
        let (one, other) = tokio::join!(iam.post(BINDINGS, body.clone()), iam.post(BINDINGS, body));
        let mut told = [one.status.as_u16(), other.status.as_u16()];
        told.sort_unstable();
        assert_eq!(told, [201, 409]);
    }
    assert_eq!(count(&iam, "bindings").await, 10);
}

#[tokio::test]
async fn whoever_ensures_the_same_at_once_finds_it_done() {
    let iam = alone().await;
    let (peer, ctx) = (iam.peer("onboarding"), iam.ctx("onboarding"));
    for _ in 0..10 {
        let reach = GrantScope::Platform(domain::PlatformId::random());
        let ensure = async || {
            let granted = Some(grant(Role::PlatformAdmin, &reach).into());
            let message = EnsureBindingRequest { subject: "ann".to_owned(), grant: granted };
            let request = peer.request(&ctx, PeerCall::default(), message).unwrap();
            IamClient::new(peer.channel()).ensure_binding(request).await
        };
        let (one, other, third) = tokio::join!(ensure(), ensure(), ensure());
        assert!(one.is_ok() && other.is_ok() && third.is_ok());
    }
    assert_eq!(count(&iam, "bindings").await, 10);
    assert_eq!(count(&iam, "audit_log").await, 10);
}

#[tokio::test]
async fn a_person_has_so_many_bindings_and_no_more() {
    let iam = alone().await;
    let sql = "INSERT INTO bindings (id, subject, role, platform_id, entity_line, created_by, created_at) \
               SELECT gen_random_uuid(), 'ann', 'viewer', 'p' || n, '{}', 'operator', now() FROM generate_series(1, 198) n";
    iam.db.connect().await.batch_execute(sql).await.unwrap();
    let grant = async |role: &str| iam.post(BINDINGS, json!({ "subject": "ann", "role": role })).await;
    let told = tokio::join!(grant("viewer"), grant("operator"), grant("developer"), grant("platform-admin"));
    let (made, refused): (Vec<_>, Vec<_>) =
        [told.0, told.1, told.2, told.3].into_iter().partition(|answer| answer.status.as_u16() == 201);
    assert_eq!((made.len(), count(&iam, "bindings").await), (2, 200));
    for answer in refused {
        let details = answer.expect_error(429, "QUOTA_EXCEEDED");
        assert_eq!(details, json!({ "quota": "bindings", "limit": 200 }));
    }
    iam.post(BINDINGS, json!({ "subject": "bob", "role": "viewer" })).await.expect(201);
}
