//! The platform quota of users.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ::saga::{Fault, FaultInjector, StepPhase};
use domain::{Error, Grant, GrantScope, Kind, PlatformId, Role};
use fake_provider::{Action, Fault as ProviderFault, Operation, Rule};
use futures_util::future::join_all;
use identity::{ActorType, Caller};
use provisioning::providers::ResourceKind;
use reqwest::Method;
use rpc::{
    PeerCall,
    registry::{CreatePlatformRequest, Tier, registry_client::RegistryClient},
};
use serde_json::{Value, json};
use testkit::{Response, TestService};

use crate::system::System;

fn user(name: &str) -> Caller {
    Caller::authenticated(format!("user:{name}"), ActorType::User, vec![])
}

/// Sends a request for an onboarding.
async fn onboard(system: &System, caller: &Caller, slug: &str, tier: &str) -> Response {
    onboard_with_headers(system, caller, slug, tier, &[]).await
}

async fn onboard_with_headers(
    system: &System,
    caller: &Caller,
    slug: &str,
    tier: &str,
    headers: &[(&str, &str)],
) -> Response {
    let body = json!({ "platformName": "Shop", "slug": slug, "tier": tier });
    let request = system.onboarding.request_as(caller, Method::POST, "/api/v1/onboarding").json(&body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Response::read(request.send().await.unwrap()).await
}

/// Waits for the end of the onboarding that a response names.
async fn wait_for_end(system: &System, started: &Value) -> Value {
    system.wait_for_end(started["onboardingId"].as_str().unwrap()).await
}

fn quota_details(tier: &str, limit: u32, used: u32) -> Value {
    json!({ "quota": "platforms", "limit": limit, "used": used, "tier": tier })
}

/// A system in which signed-in users can start onboardings.
async fn start_with_iam(fault_injector: Option<FaultInjector>) -> (System, TestService) {
    let system = System::start_with_faults(fault_injector, None).await;
    let iam = system.iam().await;
    (system, iam)
}

#[tokio::test]
async fn concurrent_requests_cannot_exceed_the_quota() {
    let (system, _iam) = start_with_iam(None).await;
    let ada = user("ada");
    let slugs: Vec<String> = (0..16).map(|n| format!("shop-{n}")).collect();
    let responses = join_all(slugs.iter().map(|slug| onboard(&system, &ada, slug, "starter"))).await;
    let (accepted, rejected): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|response| response.status == 201);
    assert_eq!((accepted.len(), rejected.len()), (1, 15));
    for response in rejected {
        assert_eq!(response.expect_error(429, "QUOTA_EXCEEDED"), quota_details("starter", 1, 1));
    }
    let onboarding = wait_for_end(&system, &accepted[0].body).await;
    system.assert_complete(&onboarding).await;

    // Each user has a quota of their own. The growth tier allows three platforms, of whatever tier.
    onboard(&system, &user("bob"), "bobs", "starter").await.expect(201);
    let more: Vec<String> = (0..4).map(|n| format!("more-{n}")).collect();
    let responses = join_all(more.iter().map(|slug| onboard(&system, &ada, slug, "growth"))).await;
    let (accepted, rejected): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|response| response.status == 201);
    assert_eq!((accepted.len(), rejected.len()), (2, 2));
    for response in rejected {
        assert_eq!(response.expect_error(429, "QUOTA_EXCEEDED"), quota_details("growth", 3, 3));
    }
}

#[tokio::test]
async fn deleted_platform_does_not_count_against_the_quota() {
    let (system, _iam) = start_with_iam(None).await;
    let ada = user("ada");
    let onboarding = wait_for_end(&system, &onboard(&system, &ada, "one", "starter").await.expect(201)).await;
    let rejected = onboard(&system, &ada, "two", "starter").await;
    assert_eq!(rejected.expect_error(429, "QUOTA_EXCEEDED"), quota_details("starter", 1, 1));
    system
        .registry
        .delete(&format!("/api/v1/platforms/{}", onboarding["platformId"].as_str().unwrap()))
        .await
        .expect(200);
    let onboarding = wait_for_end(&system, &onboard(&system, &ada, "two", "starter").await.expect(201)).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
}

#[tokio::test]
async fn undone_onboarding_does_not_count_against_the_quota() {
    let (system, iam) = start_with_iam(None).await;
    let ada = user("ada");
    let rule = |fault| Rule::new(Action::Fail(fault)).on(Operation::Ensure).kind(ResourceKind::D1);
    // A waiting onboarding is cancelled.
    system.provider.follow([rule(ProviderFault::Retryable("out to lunch".to_owned()))]).await.unwrap();
    let waiting = onboard(&system, &ada, "one", "starter").await.expect(201);
    onboard(&system, &ada, "two", "starter").await.expect_error(429, "QUOTA_EXCEEDED");
    let path = format!("/api/v1/onboarding/{}", waiting["onboardingId"].as_str().unwrap());
    system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    assert_eq!(wait_for_end(&system, &waiting).await["status"], "cancelled");
    // A second one fails.
    system.provider.follow([rule(ProviderFault::Permanent("no such plan".to_owned()))]).await.unwrap();
    let failing = onboard(&system, &ada, "two", "starter").await.expect(201);
    assert_eq!(wait_for_end(&system, &failing).await["status"], "failed");
    assert_eq!(iam.get("/api/v1/iam/bindings").await.expect(200)["pagination"]["total"], 0);

    system.provider.follow([]).await.unwrap();
    let onboarding =
        wait_for_end(&system, &onboard(&system, &ada, "three", "starter").await.expect(201)).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    onboard(&system, &ada, "four", "starter").await.expect_error(429, "QUOTA_EXCEEDED");
}

/// The user gets another platform between the early check and the first step.
#[tokio::test]
async fn first_step_enforces_the_quota() {
    let away = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&away);
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (false, StepPhase::AfterIntent) if now.step == "create_platform" && still.load(Ordering::SeqCst) => {
            Fault::Fail(Error::new(Kind::ServiceUnavailable, "away for a moment"))
        }
        _ => Fault::None,
    });
    let (system, iam) = start_with_iam(Some(fault_injector)).await;
    let started = onboard(&system, &user("ada"), "late", "starter").await.expect(201);
    let message = CreatePlatformRequest {
        name: "Given".to_owned(),
        slug: "given".to_owned(),
        tier: Tier::Scale.into(),
        owner_user_id: "user:ada".to_owned(),
        platform_id: PlatformId::random().to_string(),
        limited: false,
    };
    let peer = system.registry.peer("onboarding");
    let request = peer.request(&system.registry.ctx("onboarding"), PeerCall::default(), message).unwrap();
    RegistryClient::new(peer.channel()).create_platform(request).await.unwrap();
    away.store(false, Ordering::SeqCst);

    let onboarding = wait_for_end(&system, &started).await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    let error = onboarding["error"].as_str().unwrap();
    assert!(error.contains("QUOTA_EXCEEDED") && error.contains("fewer than 1"), "{error}");
    let path = format!("/api/v1/platforms/{}", onboarding["platformId"].as_str().unwrap());
    system.registry.get(&path).await.expect_error(404, "NOT_FOUND");
    assert_eq!(iam.get("/api/v1/iam/bindings").await.expect(200)["pagination"]["total"], 0);
}

#[tokio::test]
async fn repeated_request_is_replayed_despite_a_used_up_quota() {
    let (system, _iam) = start_with_iam(None).await;
    let (ada, key) = (user("ada"), [("Idempotency-Key", "once")]);
    let both = join_all((0..2).map(|_| onboard_with_headers(&system, &ada, "one", "starter", &key))).await;
    let ids: Vec<Value> = both.into_iter().map(|one| one.expect(201)["onboardingId"].clone()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(
        onboard_with_headers(&system, &ada, "one", "starter", &key).await.expect(201)["onboardingId"],
        ids[0]
    );
    onboard(&system, &ada, "two", "starter").await.expect_error(429, "QUOTA_EXCEEDED");
    let dry = system.onboarding.request_as(&ada, Method::POST, "/api/v1/onboarding?dryRun=true");
    let dry =
        dry.json(&json!({ "platformName": "Shop", "slug": "two", "tier": "starter" })).send().await.unwrap();
    Response::read(dry).await.expect_error(429, "QUOTA_EXCEEDED");
}

#[tokio::test]
async fn quota_does_not_apply_to_operators() {
    let (system, _iam) = start_with_iam(None).await;
    let everything = Grant { role: Role::Operator, scope: GrantScope::All };
    let operator = Caller::authenticated("user:root", ActorType::User, vec![everything]);
    for (caller, slug) in
        [(&operator, "a"), (&operator, "b"), (&Caller::operator(), "c"), (&Caller::operator(), "d")]
    {
        let onboarding =
            wait_for_end(&system, &onboard(&system, caller, slug, "starter").await.expect(201)).await;
        assert_eq!(onboarding["status"], "completed", "{onboarding}");
    }
}
