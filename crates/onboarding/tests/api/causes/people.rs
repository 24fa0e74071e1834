//! What people have done, and processes that hold what is to be done.

use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use serde_json::{Value, json};

use super::{
    provider::{job, onboarding, platform},
    scene::{Cause, Later, Process, Scene, Thing, calm, hangs, later, never, text},
};

const TO_JOB: &[&str] = &["platform", "onboarding", "job"];

pub(super) fn causes() -> Vec<Cause> {
    let hang = || [hangs(Kind::D1)];
    vec![
        Cause::of("someone paused the onboarding", platform)
            .rules([later(Operation::Ensure, Kind::D1, "out to lunch")])
            .inject(pause_onboarding)
            .tells(&["platform", "onboarding"], &["it has been paused since", "until an operator resumes it"])
            .lift(resume_onboarding),
        Cause::of("someone paused the job", platform)
            .rules(hang())
            .inject(rest)
            .tells(TO_JOB, &["it has been paused since", "until an operator resumes it"])
            .lift(resume_job),
        Cause::of("another process holds the lease", platform)
            .rules(hang())
            .inject(hold)
            .tells(TO_JOB, &["process elsewhere holds its lease until", "has not started step"])
            .lift(let_go),
        Cause::of("no process knows the version of the job", onboarding)
            .rules(hang())
            .inject(of_another_version)
            .tells(&["onboarding", "job"], &["no process has claimed it since"])
            .lift(of_this_version),
        Cause::of("the process that held it is gone", job)
            .rules(hang())
            .inject(gone)
            .tells(&["job"], &["the process that ran step", "has not renewed its lease"])
            .lift(of_this_version),
        Cause::of("someone cancelled the job while a step hangs", job)
            .rules(hang())
            .inject(cancel_job)
            .tells(&["job"], &["it will be undone (cancelled by operator) after this: step auth_database"]),
        Cause::of("someone cancelled the onboarding", onboarding)
            .rules([later(Operation::Ensure, Kind::D1, "out to lunch")])
            .inject(cancel_onboarding)
            .tells(&["onboarding"], &["it was undone: cancelled by operator"]),
        Cause::of("the onboarding has expired", onboarding)
            .rules([later(Operation::Ensure, Kind::D1, "out to lunch")])
            .inject(expire)
            .tells(&["onboarding"], &["it was undone: it did not finish before its deadline"]),
        Cause::of("the undoing of the job is a dead letter", onboarding)
            .rules([
                never(Operation::Ensure, Kind::Worker, "no such plan"),
                never(Operation::Destroy, Kind::D1, "it is locked"),
            ])
            .inject(use_up_tries)
            .tells(&["onboarding", "job"], &["an operator must retry or discard it", "it is locked"]),
        Cause::of("the job that takes a platform down is a dead letter", deleted)
            .rules([never(Operation::Destroy, Kind::DnsRecord, "the zone is locked")])
            .tells(&["platform", "job"], &["step dns has failed permanently", "is locked"])
            .lift(retry),
        Cause::of("the platform is suspended", active)
            .inject(suspend)
            .tells(&["platform"], &["it has been suspended since", ": unpaid"])
            .lift(restore),
        Cause::of("the platform is cancelled", active)
            .inject(cancel_platform)
            .tells(&["platform"], &["it is cancelled and ends at", "moved away"])
            .lift(restore),
        Cause::of("the platform was deleted while it was provisioned", job)
            .rules(hang())
            .inject(delete_platform)
            .tells(&["job"], &["it was undone", "NOT_FOUND"]),
    ]
}

/// A platform that is active, and was never provisioned.
pub(super) fn active(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let body = json!({ "name": "Acme", "slug": scene.slug() });
        let made = scene.post(Process::Registry, "/api/v1/platforms", body).await;
        let platform = text(&made, "id");
        let path = format!("/api/v1/platforms/{platform}/explain");
        Thing { of: Process::Registry, path, platform, session: String::new(), job: String::new() }
    })
}

/// A platform that was onboarded, and is taken down.
fn deleted(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = onboarding(scene).await;
        scene.system.ended(&thing.session).await;
        let own = format!("/api/v1/platforms/{}", thing.platform);
        for verb in ["suspend", "delete"] {
            scene.post(Process::Registry, &format!("{own}/{verb}"), json!({})).await;
        }
        let path = format!("{own}/explain?includeDeleted=true");
        Thing { of: Process::Registry, path, ..thing }
    })
}

fn steer<'s>(scene: &'s Scene, process: Process, path: String) -> Later<'s, ()> {
    Box::pin(async move { drop(scene.post(process, &path, Value::Null).await) })
}

fn of_job<'s>(scene: &'s Scene, thing: &Thing, verb: &str) -> Later<'s, ()> {
    steer(scene, Process::Provisioning, format!("/api/v1/provision/jobs/{}/{verb}", thing.job))
}

fn of_onboarding<'s>(scene: &'s Scene, thing: &Thing, verb: &str) -> Later<'s, ()> {
    steer(scene, Process::Onboarding, format!("/api/v1/onboarding/{}/{verb}", thing.session))
}

fn of_platform<'s>(scene: &'s Scene, thing: &Thing, verb: &str, why: &'static str) -> Later<'s, ()> {
    let path = format!("/api/v1/platforms/{}/{verb}", thing.platform);
    Box::pin(async move { drop(scene.post(Process::Registry, &path, json!({ "reason": why })).await) })
}

fn pause_onboarding<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    of_onboarding(scene, thing, "pause")
}

fn resume_onboarding<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        calm(scene, thing).await;
        of_onboarding(scene, thing, "resume").await;
    })
}

/// Waits until the provider hangs.
async fn under_way(scene: &Scene, thing: &Thing) {
    let hangs = format!("saga_steps WHERE saga_id = '{}' AND status = 'in_progress'", thing.job);
    scene.until(Process::Provisioning, &hangs).await;
}

/// Has the job rest between two steps, with a provider that does as it should.
fn rest<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        under_way(scene, thing).await;
        of_job(scene, thing, "pause").await;
        calm(scene, thing).await;
        let rests = format!("sagas WHERE id = '{}' AND lease_until IS NULL", thing.job);
        scene.until(Process::Provisioning, &rests).await;
    })
}

fn resume_job<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    of_job(scene, thing, "resume")
}

fn set_job<'s>(scene: &'s Scene, thing: &Thing, set: &str) -> Later<'s, ()> {
    let sql = format!("UPDATE sagas SET next_run_at = now(), {set} WHERE id = '{}'", thing.job);
    Box::pin(async move { scene.sql(Process::Provisioning, &sql).await })
}

/// The same of a job that nobody has at that moment.
fn set_resting_job<'s>(scene: &'s mut Scene, thing: &'s Thing, set: &'static str) -> Later<'s, ()> {
    Box::pin(async move {
        rest(scene, thing).await;
        set_job(scene, thing, &format!("paused_at = NULL, {set}")).await;
    })
}

fn hold<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    set_resting_job(scene, thing, "lease_owner = 'elsewhere', lease_until = now() + interval '1 hour'")
}

fn let_go<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    set_job(scene, thing, "lease_owner = NULL, lease_until = NULL, fence = fence + 1")
}

fn of_another_version<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    set_resting_job(scene, thing, "version = version + 100")
}

fn gone<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    let set = "lease_owner = 'elsewhere', lease_until = now(), version = version + 100";
    set_resting_job(scene, thing, set)
}

fn of_this_version<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    set_job(scene, thing, "version = version - 100")
}

fn cancel_job<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        under_way(scene, thing).await;
        of_job(scene, thing, "cancel").await;
    })
}

fn cancel_onboarding<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        let path = format!("/api/v1/onboarding/{}", thing.session);
        scene.system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    })
}

fn expire<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    let sql =
        format!("UPDATE sagas SET deadline = now() WHERE id = '{}' AND lease_until IS NULL", thing.session);
    Box::pin(async move { scene.sql(Process::Onboarding, &sql).await })
}

/// Twenty tries take minutes: of what is being undone, the next try is made the last.
fn use_up_tries<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    // Of a job that no process holds, nor takes meanwhile.
    let last = format!(
        "WITH held AS (SELECT id FROM sagas WHERE id = '{}' AND lease_until IS NULL FOR UPDATE) \
         UPDATE saga_steps SET undo_attempts = 19 FROM held \
         WHERE saga_id = held.id AND undo_attempts > 0 AND error IS NOT NULL",
        thing.job
    );
    Box::pin(async move { scene.sql(Process::Provisioning, &last).await })
}

fn retry<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        calm(scene, thing).await;
        let told = scene.system.registry.get(&thing.path).await.expect(200);
        let path = format!("/api/v1/provision/jobs/{}/retry", text(&told["chain"][1], "id"));
        scene.post(Process::Provisioning, &path, Value::Null).await;
    })
}

fn suspend<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    of_platform(scene, thing, "suspend", "unpaid")
}

fn cancel_platform<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    of_platform(scene, thing, "cancel", "moved away")
}

fn restore<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    of_platform(scene, thing, "restore", "paid")
}

fn delete_platform<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        scene.system.registry.delete(&format!("/api/v1/platforms/{}", thing.platform)).await.expect(200);
        calm(scene, thing).await;
    })
}
