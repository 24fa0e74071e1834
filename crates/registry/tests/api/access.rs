//! Which processes may call which method of the gRPC service.

use rpc::registry::{self as r, registry_client::RegistryClient};
use tonic::Code;

use crate::world::World;

/// Every method with the processes that may call it, written a second time so that a slip in either is seen.
const MAY: [(&str, &[&str]); 18] = [
    ("CheckSlug", &["onboarding"]),
    ("CreatePlatform", &["onboarding"]),
    ("GetPlatform", &["onboarding", "provisioning"]),
    ("TransitionPlatform", &["onboarding"]),
    ("SetRepository", &["onboarding"]),
    ("EnsureTenant", &["onboarding"]),
    ("EnsureStack", &["onboarding"]),
    ("TemplateUsage", &["stack-registry"]),
    ("EnsureResource", &["provisioning"]),
    ("DeleteResource", &["provisioning"]),
    ("ListResources", &["onboarding", "provisioning"]),
    ("MarkSecret", &["onboarding", "provisioning"]),
    ("EnsureDnsRecord", &["provisioning"]),
    ("DeleteDnsRecord", &["provisioning"]),
    ("StartBuild", &["onboarding"]),
    ("FinishBuild", &["onboarding"]),
    ("BeginFeatureJob", &["provisioning"]),
    ("EndFeatureJob", &["provisioning"]),
];

#[tokio::test]
async fn each_method_is_for_those_who_need_it() {
    let world = World::start().await;
    for (method, may) in MAY {
        for process in ["onboarding", "provisioning", "stack-registry", "gateway"] {
            let peer = world.peer(process);
            let path = format!("/{}/{method}", r::registry_server::SERVICE_NAME).parse().unwrap();
            let request = peer
                .request(&world.ctx(process), kit::grpc::PeerCall::default(), r::CheckSlugRequest::default())
                .unwrap();
            let mut client = tonic::client::Grpc::new(peer.channel());
            client.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<r::CheckSlugRequest, r::CheckSlugResponse>::default();
            let refused = client.unary(request, path, codec).await.unwrap_err().code();
            // Every method finds something wrong with an empty message, once it lets one in.
            let expected =
                if may.contains(&process) { Code::InvalidArgument } else { Code::PermissionDenied };
            assert_eq!(refused, expected, "{process} {method}");
        }
    }
    let anonymous = RegistryClient::new(world.peer("onboarding").channel())
        .check_slug(r::CheckSlugRequest::default())
        .await;
    assert_eq!(anonymous.unwrap_err().code(), Code::Unauthenticated);
}
