//! Sagas about a whole platform.

use std::sync::Arc;

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    forces::connection,
    run::Run,
    stage::{Stage, infrastructure},
};

const PROVISIONED: [&str; 5] = ["d1", "dns_record", "dns_record", "secret", "worker"];
const ONBOARDED: [&str; 6] = ["d1", "dns_record", "dns_record", "git_repository", "secret", "worker"];

pub(crate) async fn onboard(stage: &Stage, run: &Arc<Run>, slug: &str) {
    stage.matrix.arm(run, slug);
    let session = stage.ask_onboarding(slug).await;
    stage.settled(run).await;
    let platform = stage.onboarded(session).await;
    stage.matrix.forces.lift(&platform);
    let path = format!("/api/v1/platforms/{platform}");
    if run.is_undone() {
        stage.assert_nothing_left(&platform).await;
        stage.get(&path).await.expect_error(404, "NOT_FOUND");
        // The slug is free again.
        stage.platform(slug).await;
        return;
    }
    assert_eq!(stage.get(&path).await.expect(200)["status"], "active");
    assert_eq!(stage.kinds(&platform).await, ONBOARDED);
    stage.assert_agreed(run, &platform).await;
    let builds = stage.get(&format!("{path}/builds")).await.expect(200);
    let builds: Vec<_> = builds["data"].as_array().unwrap().iter().map(|one| &one["buildStatus"]).collect();
    assert_eq!(builds, ["success"]);
    let events = stage.get(&format!("{path}/lifecycle")).await.expect(200);
    let events: Vec<_> = events["data"].as_array().unwrap().iter().map(|one| &one["toStatus"]).collect();
    assert_eq!(events, ["active", "provisioning", "pending"], "each happened once, in order");
}

pub(crate) async fn provision(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let platform = stage.platform(slug).await;
    stage.matrix.arm(run, &platform);
    stage.ask_job("platform", infrastructure(&platform)).await;
    stage.settled(run).await;
    stage.matrix.forces.lift(&platform);
    if run.is_undone() {
        return stage.assert_nothing_left(&platform).await;
    }
    assert_eq!(stage.kinds(&platform).await, PROVISIONED);
    stage.assert_agreed(run, &platform).await;
}

pub(crate) async fn deprovision(stage: &Stage, run: &Arc<Run>, slug: &str) {
    let platform = stage.provisioned(slug).await;
    assert_eq!(stage.kinds(&platform).await, ONBOARDED);
    stage.matrix.arm(run, &platform);
    let outlines = provisioning::outlines();
    let of_kind = outlines.iter().filter(|one| one.kind == run.plan.outline.kind);
    let newest = of_kind.max_by_key(|one| one.version) == Some(&run.plan.outline);
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
    let row = |(step, n): (&&str, i32)| format!("('{id}', {n}, '{step}', 'pending', 0, 0)");
    let steps: Vec<_> = outline.steps.iter().zip(0..).map(row).collect();
    let sql = format!(
        "INSERT INTO sagas (id, kind, version, subject, status, input, next_run_at, fence, request_id, created_at, updated_at) \
         VALUES ('{id}', '{}', {}, '{platform}', 'pending', '{{}}', now(), 0, 'matrix', now(), now()) ON CONFLICT DO NOTHING; \
         INSERT INTO saga_steps (saga_id, position, name, status, attempts, undo_attempts) VALUES {} ON CONFLICT DO NOTHING",
        outline.kind,
        outline.version,
        steps.join(", ")
    );
    // The connection may be dropped meanwhile.
    for _ in 0..50 {
        if connection(&stage.system.provisioning).await.batch_execute(&sql).await.is_ok() {
            return;
        }
    }
    panic!("cannot insert: {sql}");
}
