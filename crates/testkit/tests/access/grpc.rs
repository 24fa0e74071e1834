//! Every method that is in `proto/` × every identity there is. The page of who may do what has the table of who calls
//! what; that the services hold to it is seen here.

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

/// Every method by its path without the first slash, such as `nno.iam.v1.Iam/ResolveKey`.
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

/// The page's table: by method the processes that may call it.
fn told() -> BTreeMap<String, Vec<String>> {
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
fn every_method_is_on_the_page() {
    let (told, methods) = (told(), methods());
    assert!(methods.len() > 40, "{}", methods.len());
    let on_page: Vec<&String> = told.keys().collect();
    let mut in_proto: Vec<&String> = methods.iter().collect();
    in_proto.sort();
    assert_eq!(on_page, in_proto);
    for (method, callers) in &told {
        assert!(!callers.is_empty(), "nobody may call {method}");
        assert!(callers.iter().all(|caller| PROCESSES.contains(&caller.as_str())), "{method}: {callers:?}");
    }
}

/// Who asks: what they are called, their token, and what they are refused with where they are not let in.
type Asking = (String, Option<String>, Code);

/// Everyone who might ask the service of this name.
fn everyone(service: &TestService, name: &str) -> Vec<Asking> {
    let mut all = vec![("nobody".to_owned(), None, Code::Unauthenticated)];
    let forged = service.keys.forged(name).into_iter();
    all.extend(forged.map(|(what, token)| (what.to_owned(), Some(token), Code::Unauthenticated)));
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

/// What is answered to a message with nothing in it: none where it was let in and was good.
async fn refusal(channel: &SignedChannel, method: &str, token: Option<&str>) -> Option<Code> {
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

/// The name of the service's process, and it running.
fn running<'a>(system: &'a System, method: &str) -> (&'static str, &'a TestService) {
    match method.split('/').next().unwrap() {
        "nno.registry.v1.Registry" => (registry::Registry::NAME, &system.registry),
        "nno.stack_registry.v1.StackRegistry" => {
            (stack_registry::StackRegistry::NAME, &system.stack_registry)
        }
        "nno.onboarding.v1.Onboarding" => (onboarding::Onboarding::NAME, &system.onboarding),
        "nno.provisioning.v1.Provisioning" => (provisioning::Provisioning::NAME, &system.provisioning),
        "nno.iam.v1.Iam" => (iam::Iam::NAME, &system.iam),
        name => panic!("{name} is in proto/ and not here"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_is_for_those_on_the_page_and_for_nobody_else() {
    let (system, told, mut wrong) = (System::start().await, told(), Vec::new());
    for method in methods() {
        let (name, service) = running(&system, &method);
        let (channel, callers) = (service.peer("gateway").channel(), &told[&method]);
        for (who, token, refused_with) in everyone(service, name) {
            let refused = refusal(&channel, &method, token.as_deref()).await;
            let is_in = !matches!(refused, Some(Code::Unauthenticated | Code::PermissionDenied));
            let is_right = if callers.contains(&who) { is_in } else { refused == Some(refused_with) };
            if !is_right {
                wrong.push(format!("{who} calls {method}: {refused:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_method_is_for_nobody() {
    let system = System::start().await;
    for method in methods() {
        let (name, service) = running(&system, &method);
        let (channel, nothing) = (service.peer("gateway").channel(), format!("{method}s"));
        for (who, token, refused_with) in everyone(service, name) {
            let refused = refusal(&channel, &nothing, token.as_deref()).await;
            assert_eq!(refused, Some(refused_with), "{who} calls {nothing}");
        }
    }
}
