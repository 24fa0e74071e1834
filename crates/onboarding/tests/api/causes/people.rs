//! Causes: actions of people, and leases of other processes.

use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use serde_json::{Value, json};

use super::{
    fixture::{
        Cause, Fixture, Later, Object, Process, clear_rules, fails_for_now, fails_permanently, hangs, text,
    },
    provider::{job, onboarding, platform},
};

const TO_JOB: &[&str] = &["platform", "onboarding", "job"];

pub(super) fn causes() -> Vec<Cause> {
    let hang = || [hangs(Kind::D1)];
    vec![
        Cause::new("someone paused the onboarding", platform)
            .rules([fails_for_now(Operation::Ensure, Kind::D1, "out to lunch")])
            .inject(pause_onboarding)
            .expect(
                &["platform", "onboarding"],
                &["it has been paused since", "until an operator resumes it"],
            )
            .remove(resume_onboarding),
        Cause::new("someone paused the job", platform)
            .rules(hang())
            .inject(pause_job)
            .expect(TO_JOB, &["it has been paused since", "until an operator resumes it"])
            .remove(resume_job),
        Cause::new("another process holds the lease", platform)
            .rules(hang())
            .inject(take_lease)
            .expect(TO_JOB, &["process elsewhere holds its lease until", "has not started step"])
            .remove(release_lease),
        Cause::new("no process knows the version of the job", onboarding)
            .rules(hang())
            .inject(set_unknown_version)
            .expect(&["onboarding", "job"], &["no process has claimed it since"])
            .remove(set_known_version),
        Cause::new("the process that held the lease is dead", job)
            .rules(hang())
            .inject(expire_lease)
            .expect(&["job"], &["the process that ran step", "has not renewed its lease"])
            .remove(set_known_version),
        Cause::new("someone cancelled the job while a step hangs", job)
            .rules(hang())
            .inject(cancel_job)
            .expect(&["job"], &["it will be undone (cancelled by operator) after this: step auth_database"]),
        Cause::new("someone cancelled the onboarding", onboarding)
            .rules([fails_for_now(Operation::Ensure, Kind::D1, "out to lunch")])
            .inject(cancel_onboarding)
            .expect(&["onboarding"], &["it was undone: cancelled by operator"]),
        Cause::new("the onboarding has expired", onboarding)
            .rules([fails_for_now(Operation::Ensure, Kind::D1, "out to lunch")])
            .inject(expire)
            .expect(&["onboarding"], &["it was undone: it did not finish before its deadline"]),
        Cause::new("the undo of the job is a dead letter", onboarding)
            .rules([
                fails_permanently(Operation::Ensure, Kind::Worker, "no such plan"),
                fails_permanently(Operation::Destroy, Kind::D1, "it is locked"),
            ])
            .inject(use_up_attempts)
            .expect(&["onboarding", "job"], &["an operator must retry or discard it", "it is locked"]),
        Cause::new("the job that removes a platform is a dead letter", deleted)
            .rules([fails_permanently(Operation::Destroy, Kind::DnsRecord, "the zone is locked")])
            .expect(&["platform", "job"], &["step dns has failed permanently", "is locked"])
            .remove(retry),
        Cause::new("the platform is suspended", active)
            .inject(suspend)
            .expect(&["platform"], &["it has been suspended since", ": unpaid"])
            .remove(restore),
        Cause::new("the platform is cancelled", active)
            .inject(cancel_platform)
            .expect(&["platform"], &["it is cancelled and ends at", "moved away"])
            .remove(restore),
        Cause::new("the platform was deleted while it was provisioned", job)
            .rules(hang())
            .inject(delete_platform)
            .expect(&["job"], &["it was undone", "NOT_FOUND"]),
    ]
}

/// An active platform that was never provisioned.
pub(super) fn active(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let body = json!({ "name": "Acme", "slug": fixture.slug() });
        let created = fixture.post(Process::Registry, "/api/v1/platforms", body).await;
        let platform = text(&created, "id");
        let path = format!("/api/v1/platforms/{platform}/explain");
        Object { service: Process::Registry, path, platform, onboarding: String::new(), job: String::new() }
    })
}

/// An onboarded platform that is being removed.
fn deleted(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = onboarding(fixture).await;
        fixture.system.wait_for_end(&object.onboarding).await;
        let own = format!("/api/v1/platforms/{}", object.platform);
        for verb in ["suspend", "delete"] {
            fixture.post(Process::Registry, &format!("{own}/{verb}"), json!({})).await;
        }
        let path = format!("{own}/explain?includeDeleted=true");
        Object { service: Process::Registry, path, ..object }
    })
}

fn send_operation<'s>(fixture: &'s Fixture, process: Process, path: String) -> Later<'s, ()> {
    Box::pin(async move { drop(fixture.post(process, &path, Value::Null).await) })
}

fn operate_on_job<'s>(fixture: &'s Fixture, object: &Object, verb: &str) -> Later<'s, ()> {
    send_operation(fixture, Process::Provisioning, format!("/api/v1/provision/jobs/{}/{verb}", object.job))
}

fn operate_on_onboarding<'s>(fixture: &'s Fixture, object: &Object, verb: &str) -> Later<'s, ()> {
    send_operation(fixture, Process::Onboarding, format!("/api/v1/onboarding/{}/{verb}", object.onboarding))
}

fn operate_on_platform<'s>(
    fixture: &'s Fixture,
    object: &Object,
    verb: &str,
    why: &'static str,
) -> Later<'s, ()> {
    let path = format!("/api/v1/platforms/{}/{verb}", object.platform);
    Box::pin(async move { drop(fixture.post(Process::Registry, &path, json!({ "reason": why })).await) })
}

fn pause_onboarding<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    operate_on_onboarding(fixture, object, "pause")
}

fn resume_onboarding<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        clear_rules(fixture, object).await;
        operate_on_onboarding(fixture, object, "resume").await;
    })
}

/// Waits until the provider hangs.
async fn wait_for_step(fixture: &Fixture, object: &Object) {
    let hangs = format!("saga_steps WHERE saga_id = '{}' AND status = 'in_progress'", object.job);
    fixture.until(Process::Provisioning, &hangs).await;
}

/// Pauses the job between two steps, and removes the provider's rules.
fn pause_job<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        wait_for_step(fixture, object).await;
        operate_on_job(fixture, object, "pause").await;
        clear_rules(fixture, object).await;
        let paused = format!("sagas WHERE id = '{}' AND lease_until IS NULL", object.job);
        fixture.until(Process::Provisioning, &paused).await;
    })
}

fn resume_job<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    operate_on_job(fixture, object, "resume")
}

fn set_job<'s>(fixture: &'s Fixture, object: &Object, set: &str) -> Later<'s, ()> {
    let sql = format!("UPDATE sagas SET next_run_at = now(), {set} WHERE id = '{}'", object.job);
    Box::pin(async move { fixture.sql(Process::Provisioning, &sql).await })
}

/// Pauses the job, so that no process holds it, and then changes its row.
fn set_paused_job<'s>(fixture: &'s mut Fixture, object: &'s Object, set: &'static str) -> Later<'s, ()> {
    Box::pin(async move {
        pause_job(fixture, object).await;
        set_job(fixture, object, &format!("paused_at = NULL, {set}")).await;
    })
}

fn take_lease<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    set_paused_job(fixture, object, "lease_owner = 'elsewhere', lease_until = now() + interval '1 hour'")
}

fn release_lease<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    set_job(fixture, object, "lease_owner = NULL, lease_until = NULL, fence = fence + 1")
}

fn set_unknown_version<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    set_paused_job(fixture, object, "version = version + 100")
}

fn expire_lease<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    let set = "lease_owner = 'elsewhere', lease_until = now(), version = version + 100";
    set_paused_job(fixture, object, set)
}

fn set_known_version<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    set_job(fixture, object, "version = version - 100")
}

fn cancel_job<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        wait_for_step(fixture, object).await;
        operate_on_job(fixture, object, "cancel").await;
    })
}

fn cancel_onboarding<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        let path = format!("/api/v1/onboarding/{}", object.onboarding);
        fixture.system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    })
}

fn expire<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    let sql = format!(
        "UPDATE sagas SET deadline = now() WHERE id = '{}' AND lease_until IS NULL",
        object.onboarding
    );
    Box::pin(async move { fixture.sql(Process::Onboarding, &sql).await })
}

/// Twenty attempts to undo would take minutes, so this makes the next attempt the last.
fn use_up_attempts<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    // The row lock keeps other processes from claiming the job.
    let last = format!(
        "WITH held AS (SELECT id FROM sagas WHERE id = '{}' AND lease_until IS NULL FOR UPDATE) \
         UPDATE saga_steps SET undo_attempts = 19 FROM held \
         WHERE saga_id = held.id AND undo_attempts > 0 AND error IS NOT NULL",
        object.job
    );
    Box::pin(async move { fixture.sql(Process::Provisioning, &last).await })
}

fn retry<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        clear_rules(fixture, object).await;
        let explanation = fixture.system.registry.get(&object.path).await.expect(200);
        let path = format!("/api/v1/provision/jobs/{}/retry", text(&explanation["chain"][1], "id"));
        fixture.post(Process::Provisioning, &path, Value::Null).await;
    })
}

fn suspend<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    operate_on_platform(fixture, object, "suspend", "unpaid")
}

fn cancel_platform<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    operate_on_platform(fixture, object, "cancel", "moved away")
}

fn restore<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    operate_on_platform(fixture, object, "restore", "paid")
}

fn delete_platform<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        fixture.system.registry.delete(&format!("/api/v1/platforms/{}", object.platform)).await.expect(200);
        clear_rules(fixture, object).await;
    })
}
