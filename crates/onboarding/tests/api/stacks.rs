//! Onboardings with a stack template: they end with an active stack, or with nothing left.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ::saga::{Fault, FaultInjector, StepPhase};
use domain::{Error, Kind};
use rstest::rstest;
use serde_json::{Value, json};

use crate::system::System;

async fn publish(system: &System) {
    let body = json!({ "name": "shop", "displayName": "Shop", "description": "Sells" });
    system.stacks.post("/api/v1/stacks", body).await.expect(201);
    let definition = json!({ "schemaVersion": 1, "displayName": "Shop", "features": [
            { "id": "cart", "version": "1.0.0", "package": "@shop/cart", "required": true, "permissions": [] }
        ], "resources": { "d1": true, "r2": false, "kv": false, "queue": false } });
    let version = json!({ "version": "1.0.0", "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
    system.stacks.post("/api/v1/stacks/shop/versions", version).await.expect(201);
}

async fn onboard(system: &System, slug: &str) -> Value {
    let body = json!({ "platformName": "Acme", "slug": slug, "tier": "starter", "stackTemplateId": "shop" });
    let started = system.onboarding.post("/api/v1/onboarding", body).await.expect(201);
    system.wait_for_end(started["onboardingId"].as_str().unwrap()).await
}

fn broken_at(at: &'static str) -> FaultInjector {
    Arc::new(move |now| {
        if now.step == at && !now.undo && now.phase == StepPhase::AfterEffect {
            return Fault::Fail(Error::new(Kind::Unprocessable, "broken on purpose"));
        }
        Fault::None
    })
}

#[tokio::test]
async fn onboarding_completes_when_the_stack_is_active() {
    let system = System::start().await;
    publish(&system).await;
    let onboarding = onboard(&system, "acme").await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    let at = |path: &str| format!("/api/v1/platforms/{}{path}", onboarding["platformId"].as_str().unwrap());
    assert_eq!(system.registry.get(&at("")).await.expect(200)["status"], "active");
    let stacks = system.registry.get(&at("/stacks")).await.expect(200);
    let stack = &stacks["data"][0];
    assert_eq!((&stack["status"], &stack["isDefault"]), (&json!("active"), &json!(true)), "{stack}");
    let manifest = at(&format!("/entities/{}/manifest", stack["tenantId"].as_str().unwrap()));
    let manifest = system.registry.get(&manifest).await.expect(200);
    assert_eq!(manifest["features"][0]["id"], "cart", "{manifest}");
    let resources = system.registry.get(&at("/resources")).await.expect(200);
    // Two of the platform, and three of its stack: the shared one and those of the feature.
    assert_eq!(resources["pagination"]["total"], 2 + 3, "{resources}");
}

#[rstest]
#[tokio::test]
async fn failed_stack_undoes_the_onboarding(#[values("shared", "databases")] step: &'static str) {
    let system = System::start_with_faults(None, Some(broken_at(step))).await;
    publish(&system).await;
    let onboarding = onboard(&system, "broken").await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    assert!(onboarding["error"].as_str().unwrap().contains("broken on purpose"), "{onboarding}");
    system.assert_nothing_left(&onboarding, "broken").await;
}

#[rstest]
#[tokio::test]
async fn later_failure_removes_the_stack(#[values(false, true)] crashes: bool) {
    let crashed = AtomicBool::new(!crashes);
    let fails = broken_at("verify");
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (true, StepPhase::AfterEffect)
            if now.step == "deploy_services" && !crashed.swap(true, Ordering::SeqCst) =>
        {
            Fault::Crash
        }
        _ => fails(now),
    });
    let system = System::start_with_faults(Some(fault_injector), None).await;
    publish(&system).await;
    let onboarding = onboard(&system, "undone").await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    system.assert_nothing_left(&onboarding, "undone").await;
}
