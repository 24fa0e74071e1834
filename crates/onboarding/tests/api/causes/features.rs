//! Causes that keep features and stacks from being active.

use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use serde_json::json;

use super::{
    fixture::{
        Cause, Fixture, Later, Object, Process, clear_rules, fails_for_now, fails_permanently, hangs, text,
    },
    people::active,
    services::{start_provisioning, stop_provisioning_after_request},
    templates::{publish, shop},
};

pub(super) fn causes() -> Vec<Cause> {
    let ensure = Operation::Ensure;
    vec![
        Cause::new("deploying a feature fails for now", feature)
            .rules([fails_for_now(ensure, Kind::Worker, "the region is full")])
            .expect(&["feature", "job"], &["step worker has failed", "the region is full"])
            .remove(clear_rules),
        Cause::new("deploying a feature fails permanently", feature)
            .rules([fails_permanently(ensure, Kind::D1, "quota of the account is used up")])
            .expect(&["feature"], &["it failed: database", "quota of the account is used up"])
            .remove(activate_again),
        Cause::new("a feature's job waits for an earlier job", feature)
            .rules([hangs(Kind::Worker)])
            .inject(upgrade)
            .expect(&["feature", "job", "job"], &["step worker has been in progress since"])
            .remove(clear_rules),
        Cause::new("a feature's request waits for an earlier request", feature)
            .rules([hangs(Kind::Worker)])
            .inject(upgrade_while_away)
            .expect(
                &["feature", "request"],
                &[
                    "waits for the delivery of the request for job",
                    "SERVICE_UNAVAILABLE: The service 'provisioning'",
                ],
            )
            .remove(start_provisioning),
        Cause::new("a feature's request is malformed", feature)
            .rules([hangs(Kind::Worker)])
            .inject(poison)
            .expect(&["feature", "request"], &["could not be delivered", "VALIDATION_ERROR: Field 'type"])
            .remove(cure),
        Cause::new("removing a feature fails for now", feature)
            .inject(deactivate)
            .expect(&["feature", "job"], &["step dns has failed", "the zone is busy"])
            .remove(clear_rules),
        Cause::new("creating shared resources fails for now", stack)
            .rules([fails_for_now(ensure, Kind::D1, "out of space")])
            .expect(&["stack", "job"], &["step shared has failed", "out of space"])
            .remove(clear_rules),
        Cause::new("deploying a stack fails permanently", stack)
            .rules([fails_permanently(ensure, Kind::Worker, "the account is closed")])
            .expect(&["stack"], &["it failed: ", "the account is closed"]),
        Cause::new("a stack's job waits for an earlier job", next_job_of_stack)
            .rules([hangs(Kind::Worker)])
            .expect(&["job", "job"], &["step workers has been in progress since"])
            .remove(clear_rules),
        Cause::new("provisioning is down when a stack is created", stack)
            .without(Process::Provisioning)
            .expect(
                &["stack", "request"],
                &["could not be delivered", "SERVICE_UNAVAILABLE: The service 'provisioning'"],
            )
            .remove(start_provisioning),
        Cause::new("the platform of a stack was deleted", job_of_stack)
            .without(Process::Provisioning)
            .inject(delete_platform)
            .expect(&["job"], &["it was undone: begin: NOT_FOUND: Platform", "was not found"]),
    ]
}

async fn tenant(fixture: &Fixture, platform: &str) -> String {
    let body = json!({ "name": "Tenant", "slug": "tenant", "type": "tenant" });
    text(
        &fixture.post(Process::Registry, &format!("/api/v1/platforms/{platform}/entities"), body).await,
        "id",
    )
}

/// A feature whose activation was requested.
pub(super) fn feature(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = active(fixture).await;
        let tenant = tenant(fixture, &object.platform).await;
        let own = format!("/api/v1/platforms/{}/entities/{tenant}/features", object.platform);
        let object = Object { path: format!("{own}/billing/explain"), ..object };
        let job = activate(fixture, &object, "1.0.0").await;
        Object { job, ..object }
    })
}

/// A stack whose activation was requested.
fn stack(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = active(fixture).await;
        let (template, tenant) = (fixture.slug(), tenant(fixture, &object.platform).await);
        publish(fixture, &template, &shop()).await;
        let stacks = format!("/api/v1/platforms/{}/stacks", object.platform);
        let body = json!({ "tenantId": tenant, "name": "main", "templateId": template });
        let own = format!("{stacks}/{}", text(&fixture.post(Process::Registry, &stacks, body).await, "id"));
        let job = text(&fixture.system.registry.get(&own).await.expect(200), "provisionJobId");
        Object { path: format!("{own}/explain"), job, ..object }
    })
}

/// The job of a stack whose activation was requested.
fn job_of_stack(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = stack(fixture).await;
        let path = format!("/api/v1/provision/jobs/{}/explain", object.job);
        Object { service: Process::Provisioning, path, ..object }
    })
}

/// A job that an operator enqueues while an earlier job is in progress.
fn next_job_of_stack(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = stack(fixture).await;
        wait_for_step(fixture, &object.job, "workers").await;
        let id = object.path.rsplit('/').nth(1);
        let body = json!({ "platformId": object.platform, "stackId": id });
        let queued = fixture.post(Process::Provisioning, "/api/v1/provision/stack/activate", body).await;
        let path = format!("/api/v1/provision/jobs/{}/explain", text(&queued, "jobId"));
        Object { service: Process::Provisioning, path, ..object }
    })
}

async fn activate(fixture: &Fixture, object: &Object, version: &str) -> String {
    let body = json!({ "featureId": "billing", "version": version, "environment": "prod" });
    let path = object.path.replace("billing/explain", "activate");
    text(&fixture.post(Process::Registry, &path, body).await, "provisionJobId")
}

fn activate_again<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        clear_rules(fixture, object).await;
        activate(fixture, object, "1.0.0").await;
    })
}

async fn wait_for_step(fixture: &Fixture, job: &str, step: &str) {
    let in_progress =
        format!("saga_steps WHERE saga_id = '{job}' AND status = 'in_progress' AND name = '{step}'");
    fixture.until(Process::Provisioning, &in_progress).await;
}

fn upgrade<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        wait_for_step(fixture, &object.job, "worker").await;
        activate(fixture, object, "2.0.0").await;
    })
}

fn upgrade_while_away<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        stop_provisioning_after_request(fixture, object).await;
        activate(fixture, object, "2.0.0").await;
        activate(fixture, object, "3.0.0").await;
    })
}

fn poison<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    let poisoned = format!(
        "UPDATE outbox SET delivered_at = NULL, next_attempt_at = now(), data = jsonb_set(data, '{{type}}', '\"BREW_COFFEE\"') \
         WHERE id = '{}' AND delivered_at IS NOT NULL",
        object.job
    );
    Box::pin(async move { fixture.sql(Process::Registry, &poisoned).await })
}

fn cure<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    let cured = format!(
        "UPDATE outbox SET next_attempt_at = now(), data = jsonb_set(data, '{{type}}', '\"ACTIVATE_FEATURE\"') \
         WHERE id = '{}'",
        object.job
    );
    Box::pin(async move {
        fixture.sql(Process::Registry, &cured).await;
        clear_rules(fixture, object).await;
    })
}

fn deactivate<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        let active =
            format!("feature_activations WHERE provision_job_id = '{}' AND status = 'active'", object.job);
        fixture.until(Process::Registry, &active).await;
        let busy = [fails_for_now(Operation::Destroy, Kind::DnsRecord, "the zone is busy")];
        fixture.system.provider.follow(busy).await.unwrap();
        let path = object.path.replace("billing/explain", "deactivate");
        let body = json!({ "featureId": "billing", "environment": "prod" });
        fixture.post(Process::Registry, &path, body).await;
    })
}

fn delete_platform<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        fixture.system.registry.delete(&format!("/api/v1/platforms/{}", object.platform)).await.expect(200);
        fixture.restart(Process::Provisioning).await;
        let path = format!("sagas WHERE id = '{}'", object.job);
        fixture.until(Process::Provisioning, &path).await;
    })
}
