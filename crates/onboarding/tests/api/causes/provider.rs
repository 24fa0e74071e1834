//! What the provider does while a platform is onboarded.

use std::time::Duration;

use fake_provider::{Action, Fault, Operation, Rule};
use provisioning::providers::ResourceKind as Kind;
use serde_json::json;

use super::scene::{Cause, Later, Process, Scene, Thing, calm, hangs, later, never, text};

/// From the platform over its onboarding to the job that makes its infrastructure.
const TO_JOB: &[&str] = &["platform", "onboarding", "job"];

pub(super) fn causes() -> Vec<Cause> {
    let ensure = Operation::Ensure;
    let limited = Action::Fail(Fault::RateLimited(Duration::from_secs(300)));
    let lost = Action::FailAfterEffect(Fault::Retryable("the answer was lost".to_owned()));
    vec![
        Cause::of("it makes no database for now", platform)
            .rules([later(ensure, Kind::D1, "out to lunch")])
            .tells(TO_JOB, &["step auth_database has failed", "will be retried at", "out to lunch"])
            .lift(calm),
        Cause::of("it deploys no worker for now", platform)
            .rules([later(ensure, Kind::Worker, "the region is full")])
            .tells(TO_JOB, &["step auth_worker has failed", "the region is full"])
            .lift(calm),
        Cause::of("it keeps no secret for now", platform)
            .rules([later(ensure, Kind::Secret, "the vault is sealed")])
            .tells(TO_JOB, &["step auth_secret has failed", "the vault is sealed"])
            .lift(calm),
        Cause::of("its name server is away", platform)
            .rules([later(ensure, Kind::DnsRecord, "the name server is away")])
            .tells(TO_JOB, &["step dns has failed", "the name server is away"])
            .lift(calm),
        Cause::of("it makes no repository for now", platform)
            .rules([later(ensure, Kind::GitRepository, "the disk is full")])
            .tells(&["platform", "onboarding"], &["step setup_repo has failed", "the disk is full"])
            .lift(calm),
        Cause::of("its answers are lost", onboarding)
            .rules([Rule::new(lost).on(ensure).kind(Kind::DnsRecord)])
            .tells(&["onboarding", "job"], &["step dns", "the answer was lost"])
            .lift(calm),
        Cause::of("it hangs", job)
            .rules([hangs(Kind::Worker)])
            .tells(&["job"], &["step auth_worker has been in progress since", "in process provisioning-"])
            .lift(calm),
        Cause::of("a quota is used up", onboarding)
            .rules([never(ensure, Kind::D1, "quota of the account is used up")])
            .tells(&["onboarding"], &["it was undone: provision_infra", "quota of the account is used up"]),
        Cause::of("it does not let go of what is to be undone", onboarding)
            .rules([
                never(ensure, Kind::Worker, "no such plan"),
                later(Operation::Destroy, Kind::D1, "still in use"),
            ])
            .tells(&["onboarding", "job"], &["it is being undone", "no such plan", "still in use"]),
        // The last, because it is left alone: all calls of the process wait.
        Cause::of("it asks to be left alone for a while", onboarding)
            .rules([Rule::new(limited).on(ensure).kind(Kind::Worker)])
            .tells(&["onboarding", "job"], &["step auth_worker", "RATE_LIMITED: too many calls"]),
    ]
}

/// A platform that is being onboarded.
pub(super) fn platform(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = onboard(scene, json!({})).await;
        scene.until(Process::Registry, &format!("platforms WHERE id = '{}'", thing.platform)).await;
        let path = format!("/api/v1/platforms/{}/explain", thing.platform);
        Thing { of: Process::Registry, path, ..thing }
    })
}

/// Its onboarding.
pub(super) fn onboarding(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move { onboard(scene, json!({})).await })
}

/// The job that makes its infrastructure.
pub(super) fn job(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = onboard(scene, json!({})).await;
        scene.until(Process::Provisioning, &format!("sagas WHERE id = '{}'", thing.job)).await;
        let path = format!("/api/v1/provision/jobs/{}/explain", thing.job);
        Thing { of: Process::Provisioning, path, ..thing }
    })
}

/// Starts an onboarding, with something asked for besides.
pub(super) async fn onboard(scene: &Scene, more: serde_json::Value) -> Thing {
    let mut body = json!({ "platformName": "Acme", "slug": scene.slug(), "tier": "starter" });
    runtime::config::merge(&mut body, more);
    let started = scene.post(Process::Onboarding, "/api/v1/onboarding", body).await;
    let session = text(&started, "onboardingId");
    let own = format!("/api/v1/onboarding/{session}");
    let told = scene.service(Process::Onboarding).get(&own).await.expect(200);
    Thing {
        of: Process::Onboarding,
        path: format!("{own}/explain"),
        platform: text(&told, "platformId"),
        job: text(&told, "provisionJobId"),
        session,
    }
}
