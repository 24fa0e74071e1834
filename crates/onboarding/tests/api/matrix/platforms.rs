//! Sagas about a whole platform.

use std::sync::Arc;

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use uuid::Uuid;

use super::{forces::connection, run::Run, stage::Stage};

const PROVISIONED: [&str; 5] = ["d1", "dns_record", "dns_record", "secret", "worker"];
const ONBOARDED: [&str; 6] = ["d1", "dns_record", "dns_record", "git_repository", "secret", "worker"];

pub(crate) async fn onboard(stage: &Stage, run: &Arc<Run>, slug: &str) {
    stage.matrix.arm(run, slug);
    let session = stage.ask_onboarding(slug).await;
    stage.settled(run).await;
    let platform = stage.onboarded(session).await;
    stage.matrix.forces.lift(&platform);
    let registry = &stage.system.registry;
    let path = format!("/api/v1/platforms/{platform}");
    if run.is_undone() {
        stage.assert_nothing_left(&platform).await;
        registry.get(&path).await.expect_error(404, "NOT_FOUND");
        // The slug is free again.
        stage.platform(slug).await;
        return;
    }
    assert_eq!(registry.get(&path).await.expect(200)["status"], "active");
    assert_eq!(stage.kinds(&platform).await, ONBOARDED);
    stage.assert_agreed(run, &platform).await;
    let builds = registry.get(&format!("{path}/builds")).await.expect(200);
    let builds: Vec<_> = builds["data"].as_array().unwrap().iter().map(|one| &one["buildStatus"]).collect();
    assert_eq!(builds, ["success"]);
    let events = registry.get(&format!("{path}/lifecycle")).await.expect(200);
    let events: Vec<_> = events["data"].as_array().unwrap().iter().map(|one| &one["toStatus"]).collect();
    assert_eq!(events, ["active", "provisioning", "pending"], "each happened once, in order");
}

pub(crate) async fn provision(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let platform = stage.platform(slug).await;
    stage.matrix.arm(run, &platform);
    let body = json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.example" });
    stage.ask_job("platform", body).await;
    stage.settled(run).await;
    stage.matrix.forces.lift(&platform);
    if run.is_undone() {
        return stage.assert_nothing_left(&platform).await;
    }
    assert_eq!(stage.kinds(&platform).await, PROVISIONED);
    stage.assert_agreed(run, &platform).await;
}

pub(crate) async fn deprovision(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let session = stage.ask_onboarding(slug).await;
    stage.completed(session).await;
    let platform = stage.onboarded(session).await;
    assert_eq!(stage.kinds(&platform).await, ONBOARDED);
    stage.matrix.arm(run, &platform);
    let newest = provisioning::outlines().iter().rposition(|one| *one == run.plan.outline)
        == provisioning::outlines().iter().rposition(|one| one.kind == run.plan.outline.kind);
    if newest {
        stage.ask_job("platform/deprovision", json!({ "platformId": platform })).await;
    } else {
        begun_by_an_older_version(stage, run, &platform).await;
    }
    stage.settled(run).await;
    stage.matrix.forces.lift(&platform);
    stage.assert_nothing_left(&platform).await;
    stage.assert_agreed(run, &platform).await;
}

/// The rows as a binary left them that knew no newer version.
async fn begun_by_an_older_version(stage: &Stage, run: &Run, platform: &str) {
    let (id, outline) = (Uuid::now_v7(), &run.plan.outline);
    let steps: Vec<_> =
        outline.steps.iter().zip(0..).map(|(step, n)| format!("('{id}', {n}, '{step}')")).collect();
    let sql = format!(
        "INSERT INTO sagas (id, kind, version, subject, status, input, next_run_at, request_id, created_at, updated_at) \
         VALUES ('{id}', '{}', {}, '{platform}', 'pending', '{{}}', now(), 'matrix', now(), now()); \
         INSERT INTO saga_steps (saga_id, position, name) VALUES {}",
        outline.kind,
        outline.version,
        steps.join(", ")
    );
    while connection(&stage.system.provisioning).await.batch_execute(&sql).await.is_err() {}
}
