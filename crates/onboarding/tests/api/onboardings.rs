//! The HTTP API of onboardings.

use std::time::Duration;

use domain::PlatformId;
use identity::Caller;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::System;

#[tokio::test]
async fn one_request_onboards_a_platform() {
    let system = System::start().await;
    let body = json!({ "platformName": "Acme", "slug": "acme", "tier": "starter" });
    let started = system.onboarding.post("/api/v1/onboarding", body).await.expect(201);
    assert_eq!(started["status"], "in_progress");
    assert_eq!(started["steps"].as_array().unwrap().len(), 5);
    assert!(started["jobId"].is_string());
    let onboarding = system.wait_for_end(started["onboardingId"].as_str().unwrap()).await;
    system.assert_complete(&onboarding).await;
    assert_eq!(onboarding["currentStep"], Value::Null);
    assert_eq!(onboarding["provisionJobId"], started["jobId"]);
    for step in onboarding["steps"].as_array().unwrap() {
        assert_eq!(step["status"], "completed");
        assert_eq!(step["attempts"], 1, "{step}");
        assert!(step["startedAt"].is_string() && step["completedAt"].is_string());
    }
    let id = onboarding["platformId"].as_str().unwrap();
    let platform = system.registry.get(&format!("/api/v1/platforms/{id}")).await.expect(200);
    assert_eq!(
        (platform["slug"].as_str(), platform["ownerUserId"].as_str()),
        (Some("acme"), Some("operator"))
    );
    assert_eq!(platform["repoName"], id);
}

#[tokio::test]
async fn service_also_responds_at_its_own_root() {
    let system = System::start().await;
    let body = json!({ "platformName": "Root", "slug": "root", "tier": "growth" });
    let started = system.onboarding.post("/", body).await.expect(201);
    let id = started["onboardingId"].as_str().unwrap();
    system.wait_for_end(id).await;
    let here = system.onboarding.get(&format!("/{id}")).await.expect(200);
    assert_eq!(here, system.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.expect(200));
    let list = system.onboarding.get("/admin/sessions?status=completed").await.expect(200);
    assert_eq!((list["pagination"]["total"].as_i64(), list["data"][0]["id"].as_str()), (Some(1), Some(id)));
    let none = system.onboarding.get("/api/v1/onboarding/admin/sessions?status=cancelled").await.expect(200);
    assert_eq!(none["pagination"]["total"], 0);
}

#[tokio::test]
async fn all_validation_errors_are_reported_at_once() {
    let system = System::start().await;
    let body = json!({ "platformName": "", "slug": "Not A Slug", "tier": "gold", "colour": "red" });
    let details =
        system.onboarding.post("/api/v1/onboarding", body).await.expect_error(400, "VALIDATION_ERROR");
    let mut paths: Vec<_> =
        details["fields"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    paths.dedup();
    assert_eq!(paths, ["colour", "platformName", "slug", "tier"], "{details}");
    let list = system.onboarding.get("/api/v1/onboarding/admin/sessions").await.expect(200);
    assert_eq!(list["pagination"]["total"], 0);
}

#[tokio::test]
async fn slug_of_a_platform_is_rejected_at_once() {
    let system = System::start().await;
    system.registry.post("/api/v1/platforms", json!({ "name": "First", "slug": "taken" })).await.expect(201);
    let body = json!({ "platformName": "Second", "slug": "taken", "tier": "starter" });
    system.onboarding.post("/api/v1/onboarding", body).await.expect_error(409, "ALREADY_EXISTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_onboardings_with_one_slug_create_one_platform() {
    let system = System::start().await;
    let all = futures_util::future::join_all((0..64).map(|n| {
        let body = json!({ "platformName": format!("Number {n}"), "slug": "race", "tier": "starter" });
        system.onboarding.post("/api/v1/onboarding", body)
    }));
    let mut accepted = Vec::new();
    for response in all.await {
        match response.status.as_u16() {
            201 => accepted.push(response.body["onboardingId"].as_str().unwrap().to_owned()),
            _ => assert_eq!(response.expect_error(409, "ALREADY_EXISTS")["slug"], "race"),
        }
    }
    assert_eq!(accepted.len(), 1);
    let onboarding = system.wait_for_end(&accepted[0]).await;
    system.assert_complete(&onboarding).await;
    let list = system.onboarding.get("/api/v1/onboarding/admin/sessions").await.expect(200);
    assert_eq!(list["pagination"]["total"], 1, "{list}");
    let platforms = system.registry.get("/api/v1/platforms").await.expect(200);
    assert_eq!(platforms["pagination"]["total"], 1, "{platforms}");
}

#[tokio::test]
async fn undone_onboarding_frees_its_slug() {
    let system = System::start().await;
    let body = json!({ "platformName": "Acme", "slug": "held", "tier": "starter" });
    let post =
        async |query: &str| system.onboarding.post(&format!("/api/v1/onboarding{query}"), body.clone()).await;
    let first = post("").await.expect(201)["onboardingId"].as_str().unwrap().to_owned();
    post("").await.expect_error(409, "ALREADY_EXISTS");
    post("?dryRun=true").await.expect_error(409, "ALREADY_EXISTS");
    let path = format!("/api/v1/onboarding/{first}");
    system.onboarding.post(&format!("{path}/pause"), json!({})).await;
    let cancelled = system.onboarding.patch(&path, json!({ "status": "cancelled" })).await;
    if cancelled.status == 200 {
        assert_eq!(system.wait_for_end(&first).await["status"], "cancelled");
        post("?dryRun=true").await.expect(201);
        let second = post("").await.expect(201)["onboardingId"].as_str().unwrap().to_owned();
        assert_eq!(system.wait_for_end(&second).await["status"], "completed");
    } else {
        panic!("it completed before it could be cancelled: {}", cancelled.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_with_one_idempotency_key_create_one_onboarding() {
    let system = System::start().await;
    let body = json!({ "platformName": "Acme", "slug": "keyed", "tier": "starter" });
    let all = futures_util::future::join_all((0..32).map(|_| {
        system.onboarding.send(Method::POST, "/api/v1/onboarding", &body, &[("Idempotency-Key", "k1")])
    }));
    let mut ids: Vec<_> =
        all.await.into_iter().map(|response| response.expect(201)["onboardingId"].clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn repeated_idempotency_key_replays_the_response() {
    let system = System::start().await;
    let body = json!({ "platformName": "Acme", "slug": "again", "tier": "starter" });
    let post = |body: Value| {
        let system = &system;
        async move {
            system
                .onboarding
                .send(Method::POST, "/api/v1/onboarding", &body, &[("Idempotency-Key", "k1")])
                .await
        }
    };
    let first = post(body.clone()).await;
    let id = first.body["onboardingId"].as_str().unwrap().to_owned();
    system.wait_for_end(&id).await;
    let again = post(body.clone()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(201), first.expect(201));
    let mut other = body;
    other["tier"] = json!("scale");
    post(other).await.expect_error(422, "IDEMPOTENCY_MISMATCH");
}

#[tokio::test]
async fn dry_run_stores_nothing() {
    let system = System::start().await;
    let body = json!({ "platformName": "Acme", "slug": "dry", "tier": "starter" });
    let response = system.onboarding.post("/api/v1/onboarding?dryRun=true", body).await;
    assert_eq!(response.header("dry-run"), Some("true"));
    response.expect(201);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let list = system.onboarding.get("/api/v1/onboarding/admin/sessions").await.expect(200);
    assert_eq!(list["pagination"]["total"], 0);
    assert!(system.provider.live().await.unwrap().is_empty());
}

#[tokio::test]
async fn cancelled_onboarding_is_undone() {
    let system = System::start().await;
    // Provisioning is down, so the onboarding waits for it.
    system.provisioning.stop().await;
    let id = system.onboard("cancelled").await;
    let path = format!("/api/v1/onboarding/{id}");
    let waiting = loop {
        let onboarding = system.onboarding.get(&path).await.expect(200);
        if onboarding["steps"][1]["error"].is_string() {
            break onboarding;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(waiting["currentStep"], "provision_infra");
    assert!(waiting["steps"][1]["nextAttemptAt"].is_string(), "{waiting}");
    let response = system.onboarding.patch(&path, json!({ "status": "completed" })).await;
    assert_eq!(response.expect_error(409, "INVALID_TRANSITION")["allowed"], json!(["cancelled"]));
    system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
}

#[tokio::test]
async fn clients_can_change_metadata_only() {
    let system = System::start().await;
    let id = system.onboard("meta").await;
    let onboarding = system.wait_for_end(&id).await;
    let path = format!("/api/v1/onboarding/{id}");
    let changed = system.onboarding.patch(&path, json!({ "metadata": "{\"seen\":true}" })).await.expect(200);
    assert_eq!(changed["metadata"], json!({ "seen": true }));
    for (metadata, at) in [
        ("{", "metadata"),
        (r#"{"a":"\u0000"}"#, "metadata.a"),
        (r#"{"\u0000":1}"#, "metadata"),
        (r#"{"a":1,"a":2}"#, "metadata.a"),
    ] {
        for path in [&path, &format!("{path}?dryRun=true")] {
            let response = system.onboarding.patch(path, json!({ "metadata": metadata })).await;
            let details = response.expect_error(400, "VALIDATION_ERROR");
            assert_eq!(details["fields"][0]["path"], at, "{metadata}");
        }
    }
    system.onboarding.patch(&path, json!({ "steps": "[]" })).await.expect_error(409, "CONFLICT");
    let same = json!({ "steps": onboarding["steps"].to_string() });
    system.onboarding.patch(&path, same).await.expect(200);
    system
        .onboarding
        .patch(&path, json!({ "status": "cancelled" }))
        .await
        .expect_error(409, "INVALID_TRANSITION");
}

#[tokio::test]
async fn requests_without_a_valid_token_are_rejected() {
    let system = System::start().await;
    let id = system.onboard("strange").await;
    for path in ["/api/v1/onboarding/admin/sessions".to_owned(), format!("/{id}")] {
        let response = system.onboarding.anonymous(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 401);
    }
    let missing = PlatformId::random();
    system.onboarding.get(&format!("/api/v1/onboarding/{missing}")).await.expect_error(404, "NOT_FOUND");
    let response = system
        .onboarding
        .request_as(&Caller::operator(), Method::PUT, "/api/v1/onboarding")
        .send()
        .await
        .unwrap();
    assert_eq!(
        testkit::Response::read(response).await.expect_error(405, "METHOD_NOT_ALLOWED")["allowed"],
        json!(["OPTIONS", "POST"])
    );
}

#[tokio::test]
async fn template_creates_a_default_tenant_with_a_default_stack() {
    let system = System::start().await;
    let template =
        json!({ "name": "starter-kit", "displayName": "Starter kit", "description": "To begin with" });
    system.stacks.post("/api/v1/stacks", template).await.expect(201);
    let definition = json!({
        "schemaVersion": 1, "displayName": "Starter kit", "features": [],
        "resources": { "d1": true, "r2": false, "kv": false, "queue": false },
    });
    let version = json!({ "version": "1.0.0", "nnoSdkVersion": "1.0.0", "stackDefinition": definition });
    system.stacks.post("/api/v1/stacks/starter-kit/versions", version).await.expect(201);
    let body = json!({ "platformName": "Acme", "slug": "stacked", "tier": "starter", "stackTemplateId": "starter-kit" });
    let started = system.onboarding.post("/api/v1/onboarding", body).await.expect(201);
    let onboarding = system.wait_for_end(started["onboardingId"].as_str().unwrap()).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    let id = onboarding["platformId"].as_str().unwrap();
    let stacks = system.registry.get(&format!("/api/v1/platforms/{id}/stacks")).await.expect(200);
    assert_eq!(stacks["data"].as_array().unwrap().len(), 1, "{stacks}");
    let stack = &stacks["data"][0];
    assert_eq!((&stack["isDefault"], &stack["name"]), (&json!(true), &json!("default")));
    assert_eq!(stack["status"], "active", "a stack without features is active too");
    let tenants =
        system.registry.get(&format!("/api/v1/platforms/{id}/entities?type=tenant")).await.expect(200);
    assert_eq!(tenants["data"][0]["slug"], "default");
}

#[tokio::test]
async fn unknown_template_fails_the_onboarding_and_leaves_nothing() {
    let system = System::start().await;
    let body =
        json!({ "platformName": "Acme", "slug": "unknown", "tier": "starter", "stackTemplateId": "nowhere" });
    let started = system.onboarding.post("/api/v1/onboarding", body).await.expect(201);
    let onboarding = system.wait_for_end(started["onboardingId"].as_str().unwrap()).await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    assert!(onboarding["error"].as_str().unwrap().contains("TEMPLATE_UNAVAILABLE"), "{onboarding}");
    system.assert_nothing_left(&onboarding, "unknown").await;
}
