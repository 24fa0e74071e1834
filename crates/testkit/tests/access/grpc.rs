//! Every gRPC method in `proto/` × every identity. The services must accept exactly the callers in the table of
//! `docs/architecture/between-services.md`.

use std::{collections::BTreeMap, time::Duration};

use domain::{Grant, GrantScope, Role};
use identity::{ActorType, Caller};
use prost::Message;
use prost_types::FileDescriptorSet;
use rpc::SignedChannel;
use service::Service;
use testkit::{PROCESSES, TestService};
use tonic::{Code, Request, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::system::System;

/// Returns the path of every method without the leading slash, such as `nno.iam.v1.Iam/ResolveKey`.
fn methods() -> Vec<String> {
    let all = FileDescriptorSet::decode(rpc::DESCRIPTORS).unwrap();
    let of_file = all.file.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
    of_file
        .flat_map(|(file, service)| {
            let name = format!("{}.{}", file.package(), service.name());
            service.method.iter().map(move |method| format!("{name}/{}", method.name()))
        })
        .collect()
}

/// Returns the processes that may call each method, from the table in the documentation.
fn documented_callers() -> BTreeMap<String, Vec<String>> {
    let page = include_str!("../../../../docs/architecture/between-services.md");
    let rows = page.lines().filter(|line| line.starts_with("| `nno."));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.map(|row| {
        let (method, callers) = row.trim_matches('|').split_once('|').unwrap();
        (quoted(method).remove(0), quoted(callers))
    })
    .collect()
}

#[test]
fn every_method_is_documented() {
    let (documented, methods) = (documented_callers(), methods());
    assert!(methods.len() > 40, "{}", methods.len());
    let in_table: Vec<&String> = documented.keys().collect();
    let mut in_proto: Vec<&String> = methods.iter().collect();
    in_proto.sort();
    assert_eq!(in_table, in_proto);
    for (method, callers) in &documented {
        assert!(!callers.is_empty(), "{method} has no callers");
        assert!(callers.iter().all(|caller| PROCESSES.contains(&caller.as_str())), "{method}: {callers:?}");
    }
}

/// The name and the token of an identity, and the status that rejects it.
type Identity = (String, Option<String>, Code);

/// Returns all identities that may send requests to the service.
fn identities(service: &TestService, name: &str) -> Vec<Identity> {
    let mut all = vec![("no token".to_owned(), None, Code::Unauthenticated)];
    let invalid = service.keys.invalid_tokens(name).into_iter();
    all.extend(invalid.map(|(kind, token)| (kind.to_owned(), Some(token), Code::Unauthenticated)));
    let everything = vec![Grant { role: Role::Operator, scope: GrantScope::All }];
    let known = |id: &str, actor| Caller::authenticated(id, actor, everything.clone());
    for caller in [
        known("user:ann", ActorType::User),
        known("apikey:1", ActorType::Apikey),
        known("user:nobody", ActorType::System),
        Caller::operator(),
    ] {
        let token = service.keys.signer("gateway").sign(name, &caller).unwrap();
        all.push((format!("the gateway for {}", caller.id), Some(token), Code::PermissionDenied));
    }
    for process in PROCESSES {
        let token = service.keys.signer(process).sign(name, &Caller::this_service(process)).unwrap();
        all.push((process.to_owned(), Some(token), Code::PermissionDenied));
    }
    all
}

/// Returns the error code of a call with an empty message, or `None` if it succeeds.
async fn error_code(channel: &SignedChannel, method: &str, token: Option<&str>) -> Option<Code> {
    let mut request = Request::new(tokio_stream::once(()));
    request.set_timeout(Duration::from_secs(10));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path: PathAndQuery = format!("/{method}").parse().unwrap();
    client.streaming(request, path, ProstCodec::<(), ()>::default()).await.err().map(|status| status.code())
}

/// Returns the process name and the running service of a method.
fn service_of<'a>(system: &'a System, method: &str) -> (&'static str, &'a TestService) {
    match method.split('/').next().unwrap() {
        "nno.registry.v1.Registry" => (registry::Registry::NAME, &system.registry),
        "nno.stack_registry.v1.StackRegistry" => {
            (stack_registry::StackRegistry::NAME, &system.stack_registry)
        }
        "nno.onboarding.v1.Onboarding" => (onboarding::Onboarding::NAME, &system.onboarding),
        "nno.provisioning.v1.Provisioning" => (provisioning::Provisioning::NAME, &system.provisioning),
        "nno.iam.v1.Iam" => (iam::Iam::NAME, &system.iam),
        name => panic!("the service {name} in proto/ is missing in this test"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_accept_only_documented_callers() {
    let (system, documented, mut failures) = (System::start().await, documented_callers(), Vec::new());
    for method in methods() {
        let (name, service) = service_of(&system, &method);
        let (channel, callers) = (service.peer("gateway").channel(), &documented[&method]);
        for (identity, token, rejection) in identities(service, name) {
            let code = error_code(&channel, &method, token.as_deref()).await;
            let is_accepted = !matches!(code, Some(Code::Unauthenticated | Code::PermissionDenied));
            let is_expected = if callers.contains(&identity) { is_accepted } else { code == Some(rejection) };
            if !is_expected {
                failures.push(format!("{identity} calls {method}: {code:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_methods_reject_every_caller() {
    let system = System::start().await;
    for method in methods() {
        let (name, service) = service_of(&system, &method);
        let (channel, unknown) = (service.peer("gateway").channel(), format!("{method}s"));
        for (identity, token, rejection) in identities(service, name) {
            let code = error_code(&channel, &unknown, token.as_deref()).await;
            assert_eq!(code, Some(rejection), "{identity} calls {unknown}");
        }
    }
}
