//! Concurrent requests.

use diesel_async::SimpleAsyncConnection;
use domain::{GrantScope, Role};
use rpc::{
    PeerCall,
    iam::{EnsureBindingRequest, iam_client::IamClient},
};
use serde_json::json;

use crate::world::{BINDINGS, KEYS, World, alone, count, grant, text};

#[tokio::test]
async fn one_of_two_concurrent_revocations_succeeds() {
    let world = World::start().await;
    for _ in 0..10 {
        let created = world.key(Role::Viewer, &world.all_of_own()).await;
        let path = format!("{KEYS}/{}", text(&created, "id"));
        let (one, other) = tokio::join!(world.delete(&path), world.delete(&path));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404]);
    }
    assert_eq!(count(&world, "audit_log WHERE action = 'key.revoked'").await, 10);
    assert_eq!(count(&world, "revocations").await, 10);
}

#[tokio::test]
async fn one_of_two_concurrent_deletions_succeeds() {
    let iam = alone().await;
    for _ in 0..10 {
        let created = iam.post(BINDINGS, json!({ "subject": "ann", "role": "viewer" })).await.expect(201);
        let path = format!("{BINDINGS}/{}", text(&created, "id"));
        let (one, other) = tokio::join!(iam.delete(&path), iam.delete(&path));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404]);
    }
    assert_eq!(count(&iam, "audit_log WHERE action = 'binding.deleted'").await, 10);
}

#[tokio::test]
async fn one_of_two_concurrent_creations_succeeds() {
    let iam = alone().await;
    for n in 0..10 {
        let body = json!({ "subject": format!("person {n}"), "role": "viewer" });
        let (one, other) = tokio::join!(iam.post(BINDINGS, body.clone()), iam.post(BINDINGS, body));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
    assert_eq!(count(&iam, "bindings").await, 10);
}

#[tokio::test]
async fn concurrent_ensures_create_one_binding() {
    let iam = alone().await;
    let (peer, ctx) = (iam.peer("onboarding"), iam.ctx("onboarding"));
    for _ in 0..10 {
        let scope = GrantScope::Platform(domain::PlatformId::random());
        let ensure = async || {
            let granted = Some(grant(Role::PlatformAdmin, &scope).into());
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
async fn user_has_at_most_200_bindings() {
    let iam = alone().await;
    let sql = "INSERT INTO bindings (id, subject, role, platform_id, entity_line, created_by, created_at) \
               SELECT gen_random_uuid(), 'ann', 'viewer', 'p' || n, '{}', 'operator', now() FROM generate_series(1, 198) n";
    iam.db.connect().await.batch_execute(sql).await.unwrap();
    let grant = async |role: &str| iam.post(BINDINGS, json!({ "subject": "ann", "role": role })).await;
    let responses =
        tokio::join!(grant("viewer"), grant("operator"), grant("developer"), grant("platform-admin"));
    let (created, rejected): (Vec<_>, Vec<_>) = [responses.0, responses.1, responses.2, responses.3]
        .into_iter()
        .partition(|answer| answer.status.as_u16() == 201);
    assert_eq!((created.len(), count(&iam, "bindings").await), (2, 200));
    for answer in rejected {
        let details = answer.expect_error(429, "QUOTA_EXCEEDED");
        assert_eq!(details, json!({ "quota": "bindings", "limit": 200 }));
    }
    iam.post(BINDINGS, json!({ "subject": "bob", "role": "viewer" })).await.expect(201);
}
