//! Onboardings that a template is asked for: they end when its stack runs, or with nothing.

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
    system.ended(started["onboardingId"].as_str().unwrap()).await
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
async fn it_ends_when_the_stack_runs() {
    let system = System::start().await;
    publish(&system).await;
    let session = onboard(&system, "acme").await;
    assert_eq!(session["status"], "completed", "{session}");
    let at = |path: &str| format!("/api/v1/platforms/{}{path}", session["platformId"].as_str().unwrap());
    assert_eq!(system.registry.get(&at("")).await.expect(200)["status"], "active");
    let stacks = system.registry.get(&at("/stacks")).await.expect(200);
    let stack = &stacks["data"][0];
    assert_eq!((&stack["status"], &stack["isDefault"]), (&json!("active"), &json!(true)), "{stack}");
    let manifest = at(&format!("/entities/{}/manifest", stack["tenantId"].as_str().unwrap()));
    let manifest = system.registry.get(&manifest).await.expect(200);
    assert_eq!(manifest["features"][0]["id"], "cart", "{manifest}");
    let resources = system.registry.get(&at("/resources")).await.expect(200);
    // Of the platform, and of its stack: what is shared, and the feature's own.
    assert_eq!(resources["pagination"]["total"], 2 + 3, "{resources}");
}

#[rstest]
#[tokio::test]
async fn a_stack_that_fails_undoes_it(#[values("shared", "databases")] step: &'static str) {
    let system = System::start_interposed(None, Some(broken_at(step))).await;
    publish(&system).await;
    let session = onboard(&system, "broken").await;
    assert_eq!(session["status"], "failed", "{session}");
    assert!(session["error"].as_str().unwrap().contains("broken on purpose"), "{session}");
    system.assert_nothing_left(&session, "broken").await;
}

#[rstest]
#[tokio::test]
async fn what_fails_after_it_takes_the_stack_down(#[values(false, true)] dies: bool) {
    let died = AtomicBool::new(!dies);
    let fails = broken_at("verify");
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (true, StepPhase::AfterEffect)
            if now.step == "deploy_services" && !died.swap(true, Ordering::SeqCst) =>
        {
            Fault::Crash
        }
        _ => fails(now),
    });
    let system = System::start_interposed(Some(fault_injector), None).await;
    publish(&system).await;
    let session = onboard(&system, "undone").await;
    assert_eq!(session["status"], "failed", "{session}");
    system.assert_nothing_left(&session, "undone").await;
}
