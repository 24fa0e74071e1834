//! What keeps features and stacks from being active.

use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use serde_json::json;

use super::{
    people::active,
    scene::{Cause, Later, Process, Scene, Thing, calm, hangs, later, never, text},
    services::{start_provisioning, stop_provisioning_once_asked},
    templates::{publish, shop},
};

pub(super) fn causes() -> Vec<Cause> {
    let ensure = Operation::Ensure;
    vec![
        Cause::of("the provider deploys no feature for now", feature)
            .rules([later(ensure, Kind::Worker, "the region is full")])
            .tells(&["feature", "job"], &["step worker has failed", "the region is full"])
            .lift(calm),
        Cause::of("the provider refuses a feature", feature)
            .rules([never(ensure, Kind::D1, "quota of the account is used up")])
            .tells(&["feature"], &["it failed: database", "quota of the account is used up"])
            .lift(activate_again),
        Cause::of("a feature's job waits for the one before it", feature)
            .rules([hangs(Kind::Worker)])
            .inject(upgrade)
            .tells(&["feature", "job", "job"], &["step worker has been in progress since"])
            .lift(calm),
        Cause::of("a feature's request waits for the one before it", feature)
            .rules([hangs(Kind::Worker)])
            .inject(upgrade_while_away)
            .tells(
                &["feature", "request"],
                &["waits until that for job", "SERVICE_UNAVAILABLE: provisioning"],
            )
            .lift(start_provisioning),
        Cause::of("a feature's request cannot be read", feature)
            .rules([hangs(Kind::Worker)])
            .inject(poison)
            .tells(&["feature", "request"], &["could not be delivered", "VALIDATION_ERROR: type"])
            .lift(cure),
        Cause::of("the provider does not let go of a feature", feature)
            .inject(deactivate)
            .tells(&["feature", "job"], &["step dns has failed", "the zone is busy"])
            .lift(calm),
        Cause::of("the provider makes nothing shared for now", stack)
            .rules([later(ensure, Kind::D1, "out of space")])
            .tells(&["stack", "job"], &["step shared has failed", "out of space"])
            .lift(calm),
        Cause::of("the provider refuses a stack", stack)
            .rules([never(ensure, Kind::Worker, "the account is closed")])
            .tells(&["stack"], &["it failed: ", "the account is closed"]),
        Cause::of("a stack's job waits for the one before it", next_job_of_stack)
            .rules([hangs(Kind::Worker)])
            .tells(&["job", "job"], &["step workers has been in progress since"])
            .lift(calm),
        Cause::of("provisioning is away, and a stack is asked for", stack)
            .away(Process::Provisioning)
            .tells(&["stack", "request"], &["could not be delivered", "SERVICE_UNAVAILABLE: provisioning"])
            .lift(start_provisioning),
        Cause::of("the platform of a stack was deleted", job_of_stack)
            .away(Process::Provisioning)
            .inject(delete_platform)
            .tells(&["job"], &["it was undone: begin: NOT_FOUND: Platform", "was not found"]),
    ]
}

async fn tenant(scene: &Scene, platform: &str) -> String {
    let body = json!({ "name": "Tenant", "slug": "tenant", "type": "tenant" });
    text(&scene.post(Process::Registry, &format!("/api/v1/platforms/{platform}/entities"), body).await, "id")
}

/// A feature that was asked for.
pub(super) fn feature(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = active(scene).await;
        let tenant = tenant(scene, &thing.platform).await;
        let own = format!("/api/v1/platforms/{}/entities/{tenant}/features", thing.platform);
        let thing = Thing { path: format!("{own}/billing/explain"), ..thing };
        let job = activate(scene, &thing, "1.0.0").await;
        Thing { job, ..thing }
    })
}

/// A stack that was asked for.
fn stack(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = active(scene).await;
        let (template, tenant) = (scene.slug(), tenant(scene, &thing.platform).await);
        publish(scene, &template, &shop()).await;
        let stacks = format!("/api/v1/platforms/{}/stacks", thing.platform);
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": template });
        let own = format!("{stacks}/{}", text(&scene.post(Process::Registry, &stacks, body).await, "id"));
        let job = text(&scene.system.registry.get(&own).await.expect(200), "provisionJobId");
        Thing { path: format!("{own}/explain"), job, ..thing }
    })
}

/// The job of a stack that was asked for.
fn job_of_stack(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = stack(scene).await;
        let path = format!("/api/v1/provision/jobs/{}/explain", thing.job);
        Thing { of: Process::Provisioning, path, ..thing }
    })
}

/// A job that an operator asks for while the one before it is under way.
fn next_job_of_stack(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = stack(scene).await;
        under_way(scene, &thing.job, "workers").await;
        let id = thing.path.rsplit('/').nth(1);
        let body = json!({ "platformId": thing.platform, "stackId": id });
        let queued = scene.post(Process::Provisioning, "/api/v1/provision/stack/activate", body).await;
        let path = format!("/api/v1/provision/jobs/{}/explain", text(&queued, "jobId"));
        Thing { of: Process::Provisioning, path, ..thing }
    })
}

async fn activate(scene: &Scene, thing: &Thing, version: &str) -> String {
    let body = json!({ "featureId": "billing", "version": version, "environment": "prod" });
    let path = thing.path.replace("billing/explain", "activate");
    text(&scene.post(Process::Registry, &path, body).await, "provisionJobId")
}

fn activate_again<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        calm(scene, thing).await;
        activate(scene, thing, "1.0.0").await;
    })
}

async fn under_way(scene: &Scene, job: &str, step: &str) {
    let under_way =
        format!("saga_steps WHERE saga_id = '{job}' AND status = 'in_progress' AND name = '{step}'");
    scene.until(Process::Provisioning, &under_way).await;
}

fn upgrade<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        under_way(scene, &thing.job, "worker").await;
        activate(scene, thing, "2.0.0").await;
    })
}

fn upgrade_while_away<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        stop_provisioning_once_asked(scene, thing).await;
        activate(scene, thing, "2.0.0").await;
        activate(scene, thing, "3.0.0").await;
    })
}

fn poison<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    let poisoned = format!(
        "UPDATE outbox SET delivered_at = NULL, next_attempt_at = now(), data = jsonb_set(data, '{{type}}', '\"BREW_COFFEE\"') \
         WHERE id = '{}' AND delivered_at IS NOT NULL",
        thing.job
    );
    Box::pin(async move { scene.sql(Process::Registry, &poisoned).await })
}

fn cure<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    let cured = format!(
        "UPDATE outbox SET next_attempt_at = now(), data = jsonb_set(data, '{{type}}', '\"ACTIVATE_FEATURE\"') \
         WHERE id = '{}'",
        thing.job
    );
    Box::pin(async move {
        scene.sql(Process::Registry, &cured).await;
        calm(scene, thing).await;
    })
}

fn deactivate<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        let active =
            format!("feature_activations WHERE provision_job_id = '{}' AND status = 'active'", thing.job);
        scene.until(Process::Registry, &active).await;
        let busy = [later(Operation::Destroy, Kind::DnsRecord, "the zone is busy")];
        scene.system.provider.follow(busy).await.unwrap();
        let path = thing.path.replace("billing/explain", "deactivate");
        let body = json!({ "featureId": "billing", "environment": "prod" });
        scene.post(Process::Registry, &path, body).await;
    })
}

fn delete_platform<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        scene.system.registry.delete(&format!("/api/v1/platforms/{}", thing.platform)).await.expect(200);
        scene.start_again(Process::Provisioning).await;
        let path = format!("sagas WHERE id = '{}'", thing.job);
        scene.until(Process::Provisioning, &path).await;
    })
}
