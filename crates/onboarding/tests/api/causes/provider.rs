//! Causes: faults of the provider while a platform is onboarded.

use std::time::Duration;

use fake_provider::{Action, Fault, Operation, Rule};
use provisioning::providers::ResourceKind as Kind;
use serde_json::json;

use super::fixture::{
    Cause, Fixture, Later, Object, Process, clear_rules, fails_for_now, fails_permanently, hangs, text,
};

/// The chain from the platform over its onboarding to the job that creates its infrastructure.
const TO_JOB: &[&str] = &["platform", "onboarding", "job"];

pub(super) fn causes() -> Vec<Cause> {
    let ensure = Operation::Ensure;
    let limited = Action::Fail(Fault::RateLimited(Duration::from_secs(300)));
    let lost = Action::FailAfterEffect(Fault::Retryable("the response was lost".to_owned()));
    vec![
        Cause::new("creating a database fails for now", platform)
            .rules([fails_for_now(ensure, Kind::D1, "out to lunch")])
            .expect(TO_JOB, &["step auth_database has failed", "will be retried at", "out to lunch"])
            .remove(clear_rules),
        Cause::new("deploying a worker fails for now", platform)
            .rules([fails_for_now(ensure, Kind::Worker, "the region is full")])
            .expect(TO_JOB, &["step auth_worker has failed", "the region is full"])
            .remove(clear_rules),
        Cause::new("storing a secret fails for now", platform)
            .rules([fails_for_now(ensure, Kind::Secret, "the vault is sealed")])
            .expect(TO_JOB, &["step auth_secret has failed", "the vault is sealed"])
            .remove(clear_rules),
        Cause::new("the name server is down", platform)
            .rules([fails_for_now(ensure, Kind::DnsRecord, "the name server is away")])
            .expect(TO_JOB, &["step dns has failed", "the name server is away"])
            .remove(clear_rules),
        Cause::new("creating a repository fails for now", platform)
            .rules([fails_for_now(ensure, Kind::GitRepository, "the disk is full")])
            .expect(&["platform", "onboarding"], &["step setup_repo has failed", "the disk is full"])
            .remove(clear_rules),
        Cause::new("responses of the provider are lost", onboarding)
            .rules([Rule::new(lost).on(ensure).kind(Kind::DnsRecord)])
            .expect(&["onboarding", "job"], &["step dns", "the response was lost"])
            .remove(clear_rules),
        Cause::new("the provider hangs", job)
            .rules([hangs(Kind::Worker)])
            .expect(&["job"], &["step auth_worker has been in progress since", "in process provisioning-"])
            .remove(clear_rules),
        Cause::new("a quota is used up", onboarding)
            .rules([fails_permanently(ensure, Kind::D1, "quota of the account is used up")])
            .expect(&["onboarding"], &["it was undone: provision_infra", "quota of the account is used up"]),
        Cause::new("the undo fails for now", onboarding)
            .rules([
                fails_permanently(ensure, Kind::Worker, "no such plan"),
                fails_for_now(Operation::Destroy, Kind::D1, "still in use"),
            ])
            .expect(&["onboarding", "job"], &["it is being undone", "no such plan", "still in use"]),
        // This cause is the last, because all later calls of the process wait for the rate limit.
        Cause::new("the provider limits the rate of calls", onboarding)
            .rules([Rule::new(limited).on(ensure).kind(Kind::Worker)])
            .expect(&["onboarding", "job"], &["step auth_worker", "RATE_LIMITED: too many calls"]),
    ]
}

/// A platform that is being onboarded.
pub(super) fn platform(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = onboard(fixture, json!({})).await;
        fixture.until(Process::Registry, &format!("platforms WHERE id = '{}'", object.platform)).await;
        let path = format!("/api/v1/platforms/{}/explain", object.platform);
        Object { service: Process::Registry, path, ..object }
    })
}

/// The onboarding of a platform.
pub(super) fn onboarding(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move { onboard(fixture, json!({})).await })
}

/// The job that creates the infrastructure of a platform.
pub(super) fn job(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = onboard(fixture, json!({})).await;
        fixture.until(Process::Provisioning, &format!("sagas WHERE id = '{}'", object.job)).await;
        let path = format!("/api/v1/provision/jobs/{}/explain", object.job);
        Object { service: Process::Provisioning, path, ..object }
    })
}

/// Starts an onboarding with additional fields.
pub(super) async fn onboard(fixture: &Fixture, more: serde_json::Value) -> Object {
    let mut body = json!({ "platformName": "Acme", "slug": fixture.slug(), "tier": "starter" });
    runtime::config::merge(&mut body, more);
    let started = fixture.post(Process::Onboarding, "/api/v1/onboarding", body).await;
    let id = text(&started, "onboardingId");
    let own = format!("/api/v1/onboarding/{id}");
    let onboarding = fixture.service(Process::Onboarding).get(&own).await.expect(200);
    Object {
        service: Process::Onboarding,
        path: format!("{own}/explain"),
        platform: text(&onboarding, "platformId"),
        job: text(&onboarding, "provisionJobId"),
        onboarding: id,
    }
}
