//! Allowed callers of the gRPC methods, and the methods for onboarding.

use domain::{Grant, GrantScope, Kind, Role};
use rpc::{
    PeerCall,
    iam::{
        EnsureBindingRequest, Forgotten, Grant as GrantMessage, RemoveBindingRequest, ResolveKeyRequest,
        ResolvePersonRequest, iam_client::IamClient,
    },
};
use serde_json::json;
use testkit::{PROCESSES, TestService};

use crate::world::{alone, count, grant};

/// Calls a method as a process.
async fn call(iam: &TestService, process: &str, method: &str) -> Result<(), Kind> {
    let (peer, ctx) = (iam.peer(process), iam.ctx(process));
    let mut client = IamClient::new(peer.channel());
    let grant_message = GrantMessage {
        role: rpc::enum_number(Role::PlatformAdmin),
        platform_id: Some("aaaaaaaaaa".to_owned()),
        entity_id: None,
    };
    macro_rules! ask {
        ($method:ident, $message:expr) => {{
            let request = peer.stream(&ctx, PeerCall::default(), $message).unwrap();
            peer.unpack(client.$method(request).await).map(drop).map_err(|error| error.kind())
        }};
    }
    match method {
        "ResolveKey" => {
            let id = uuid::Uuid::nil().to_string();
            ask!(resolve_key, ResolveKeyRequest { id, secret_digest: vec![] })
        }
        "ResolvePerson" => ask!(resolve_person, ResolvePersonRequest { subject: "ann".to_owned() }),
        "WatchRevocations" => ask!(watch_revocations, tokio_stream::empty::<Forgotten>()),
        "EnsureBinding" => {
            ask!(
                ensure_binding,
                EnsureBindingRequest { subject: "ann".to_owned(), grant: Some(grant_message) }
            )
        }
        "RemoveBinding" => {
            ask!(
                remove_binding,
                RemoveBindingRequest { subject: "ann".to_owned(), grant: Some(grant_message) }
            )
        }
        _ => panic!("{method}"),
    }
}

#[tokio::test]
async fn only_allowed_processes_can_call_a_method() {
    let iam = alone().await;
    for (method, caller) in [
        ("ResolveKey", "gateway"),
        ("ResolvePerson", "gateway"),
        ("WatchRevocations", "gateway"),
        ("EnsureBinding", "onboarding"),
        ("RemoveBinding", "onboarding"),
    ] {
        for process in PROCESSES {
            let expected = if process == caller { Ok(()) } else { Err(Kind::Forbidden) };
            assert_eq!(call(&iam, process, method).await, expected, "{method} by {process}");
        }
    }
    let peer = iam.peer("gateway");
    let bare = tonic::Request::new(ResolvePersonRequest { subject: "ann".to_owned() });
    let status = IamClient::new(peer.channel()).resolve_person(bare).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}

/// Client that calls as onboarding.
struct Onboarding<'a>(&'a TestService);

impl Onboarding<'_> {
    async fn ensure(&self, grant: Grant, key: Option<&str>) -> Result<(), Kind> {
        let (peer, ctx) = (self.0.peer("onboarding"), self.0.ctx("onboarding"));
        let message = EnsureBindingRequest { subject: "ann".to_owned(), grant: Some(grant.into()) };
        let request = peer.request(&ctx, PeerCall { idempotency_key: key, deadline: None }, message).unwrap();
        let response = IamClient::new(peer.channel()).ensure_binding(request).await;
        peer.unpack(response).map(drop).map_err(|error| error.kind())
    }

    async fn remove(&self, grant: Grant) -> Result<(), Kind> {
        let (peer, ctx) = (self.0.peer("onboarding"), self.0.ctx("onboarding"));
        let message = RemoveBindingRequest { subject: "ann".to_owned(), grant: Some(grant.into()) };
        let request = peer.request(&ctx, PeerCall::default(), message).unwrap();
        let response = IamClient::new(peer.channel()).remove_binding(request).await;
        peer.unpack(response).map(drop).map_err(|error| error.kind())
    }
}

#[tokio::test]
async fn repeated_calls_of_onboarding_create_and_delete_one_binding() {
    let iam = alone().await;
    let (platform, onboarding) = (domain::PlatformId::random(), Onboarding(&iam));
    let admin = || grant(Role::PlatformAdmin, &GrantScope::Platform(platform.clone()));
    for key in [Some("once"), Some("once"), Some("again"), None] {
        onboarding.ensure(admin(), key).await.unwrap();
    }
    assert_eq!(count(&iam, "bindings").await, 1);
    let listed = iam.get("/api/v1/iam/bindings").await.expect(200);
    let binding = &listed["data"][0];
    assert_eq!(
        (&binding["createdBy"], &binding["platformId"]),
        (&json!("service:onboarding"), &json!(platform))
    );
    assert_eq!(count(&iam, "audit_log WHERE action = 'binding.created'").await, 1);
    for _ in 0..2 {
        onboarding.remove(admin()).await.unwrap();
    }
    assert_eq!(count(&iam, "bindings").await, 0);
    assert_eq!(count(&iam, "audit_log WHERE action = 'binding.deleted'").await, 1);
    assert_eq!(count(&iam, "revocations").await, 2);
}

#[tokio::test]
async fn services_can_only_grant_access_to_one_platform() {
    let iam = alone().await;
    let entity = GrantScope::Entity(domain::PlatformId::random(), domain::EntityId::random());
    for wrong in [
        grant(Role::Operator, &GrantScope::All),
        grant(Role::Viewer, &GrantScope::All),
        grant(Role::Viewer, &entity),
    ] {
        assert_eq!(Onboarding(&iam).ensure(wrong, None).await, Err(Kind::Validation));
    }
    assert_eq!(count(&iam, "bindings").await, 0);
}
