//! Scenarios of the sagas for a whole platform.

use std::sync::Arc;

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use uuid::Uuid;

use super::{
    failures::connection,
    harness::{Harness, infrastructure},
    run::Run,
};

const PROVISIONED: [&str; 5] = ["d1", "dns_record", "dns_record", "secret", "worker"];
const ONBOARDED: [&str; 6] = ["d1", "dns_record", "dns_record", "git_repository", "secret", "worker"];

pub(crate) async fn onboard(harness: &Harness, run: &Arc<Run>, slug: &str) {
    harness.matrix.arm(run, slug);
    let onboarding = harness.start_onboarding(slug).await;
    harness.wait_for_end(run).await;
    let platform = harness.platform_of(onboarding).await;
    harness.matrix.injector.end_outage(&platform);
    let path = format!("/api/v1/platforms/{platform}");
    if run.is_undone() {
        harness.assert_nothing_left(&platform).await;
        harness.get(&path).await.expect_error(404, "NOT_FOUND");
        // The slug is free again.
        harness.platform(slug).await;
        return;
    }
    assert_eq!(harness.get(&path).await.expect(200)["status"], "active");
    assert_eq!(harness.kinds(&platform).await, ONBOARDED);
    harness.assert_consistent(run, &platform).await;
    let builds = harness.get(&format!("{path}/builds")).await.expect(200);
    let builds: Vec<_> = builds["data"].as_array().unwrap().iter().map(|one| &one["buildStatus"]).collect();
    assert_eq!(builds, ["success"]);
    let events = harness.get(&format!("{path}/lifecycle")).await.expect(200);
    let events: Vec<_> = events["data"].as_array().unwrap().iter().map(|one| &one["toStatus"]).collect();
    assert_eq!(events, ["active", "provisioning", "pending"], "each happened once, in order");
}

pub(crate) async fn provision(harness: &Harness, run: &Arc<Run>, slug: &str) {
    let platform = harness.platform(slug).await;
    harness.matrix.arm(run, &platform);
    harness.enqueue_job("platform", infrastructure(&platform)).await;
    harness.wait_for_end(run).await;
    harness.matrix.injector.end_outage(&platform);
    if run.is_undone() {
        return harness.assert_nothing_left(&platform).await;
    }
    assert_eq!(harness.kinds(&platform).await, PROVISIONED);
    harness.assert_consistent(run, &platform).await;
}

pub(crate) async fn deprovision(harness: &Harness, run: &Arc<Run>, slug: &str) {
    let platform = harness.provisioned(slug).await;
    assert_eq!(harness.kinds(&platform).await, ONBOARDED);
    harness.matrix.arm(run, &platform);
    let outlines = provisioning::outlines();
    let of_kind = outlines.iter().filter(|one| one.kind == run.plan.outline.kind);
    let newest = of_kind.max_by_key(|one| one.version) == Some(&run.plan.outline);
    if newest {
        harness.enqueue_job("platform/deprovision", json!({ "platformId": platform })).await;
    } else {
        start_with_older_version(harness, run, &platform).await;
    }
    harness.wait_for_end(run).await;
    harness.matrix.injector.end_outage(&platform);
    harness.assert_nothing_left(&platform).await;
    harness.assert_consistent(run, &platform).await;
}

/// Inserts the rows of a job as a binary with only the older version would.
async fn start_with_older_version(harness: &Harness, run: &Run, platform: &str) {
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
    // The tests may drop the connection meanwhile.
    for _ in 0..50 {
        if connection(&harness.system.provisioning).await.batch_execute(&sql).await.is_ok() {
            return;
        }
    }
    panic!("cannot insert: {sql}");
}
