//! Causes: faults of the stack template of an onboarding.

use diesel_async::SimpleAsyncConnection;
use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use serde_json::{Value, json};

use super::{
    fixture::{Cause, Fixture, Later, Object, Process, clear_rules, fails_for_now, fails_permanently},
    provider::onboard,
};

pub(super) fn causes() -> Vec<Cause> {
    vec![
        Cause::new("the stack of an onboarding waits for the provider", platform)
            .rules([fails_for_now(Operation::Ensure, Kind::Kv, "out of space")])
            .expect(&["platform", "onboarding", "stack", "job"], &["step shared has failed", "out of space"])
            .remove(clear_rules),
        Cause::new("the stack of an onboarding has failed", onboarding)
            .rules([fails_permanently(Operation::Ensure, Kind::Kv, "quota of the account is used up")])
            .expect(
                &["onboarding"],
                &["it was undone: verify", "has failed", "quota of the account is used up"],
            ),
        Cause::new("a stack to be removed is still being activated", onboarding)
            .rules([fails_for_now(Operation::Ensure, Kind::Kv, "out of space")])
            .inject(cancel)
            .expect(&["onboarding", "stack", "job", "job"], &["step shared has failed", "out of space"]),
        Cause::new("the stack registry is down", onboarding)
            .inject(stop)
            .rules([fails_for_now(Operation::Ensure, Kind::GitRepository, "not yet")])
            .expect(
                &["onboarding"],
                &["step deploy_services has failed", "The stack registry is not available"],
            )
            .remove(start),
        Cause::new("there is no such template", unknown)
            .expect(&["onboarding"], &["it was undone: deploy_services: TEMPLATE_UNAVAILABLE"]),
        Cause::new("the template is deprecated", deprecated)
            .expect(&["onboarding"], &["it was undone: deploy_services: TEMPLATE_UNAVAILABLE", "deprecated"]),
        Cause::new("the template has no version", empty)
            .expect(&["onboarding"], &["it was undone: deploy_services: TEMPLATE_UNAVAILABLE"]),
        Cause::new("the template needs an input", needy)
            .expect(&["onboarding"], &["it was undone: deploy_services: VALIDATION_ERROR: Field 'inputs"]),
        Cause::new("a dependency of the template is missing", dependent).expect(
            &["onboarding"],
            &["it was undone: deploy_services: UNPROCESSABLE", "depends on base-cause-9 ^1.0.0"],
        ),
        Cause::new("the definition of the template is invalid", onboarding)
            .rules([fails_for_now(Operation::Ensure, Kind::GitRepository, "not yet")])
            .inject(break_definition)
            .expect(&["onboarding"], &["step deploy_services has failed", "UPSTREAM_ERROR"])
            .remove(repair_definition),
        Cause::new("the slug is taken", taken)
            .expect(&["onboarding"], &["it was undone: create_platform: ALREADY_EXISTS", "is already taken"]),
    ]
}

/// A definition with a shared store.
pub(super) fn shop() -> Value {
    json!({ "schemaVersion": 1, "displayName": "Shop", "features": [
        { "id": "cart", "version": "1.0.0", "package": "@shop/cart", "required": true, "permissions": [] }
    ], "resources": { "d1": true, "r2": false, "kv": true, "queue": false } })
}

async fn template(fixture: &Fixture, name: &str) {
    let body = json!({ "name": name, "displayName": "Shop", "description": "Sells" });
    fixture.post(Process::StackRegistry, "/api/v1/stacks", body).await;
}

pub(super) async fn publish(fixture: &Fixture, name: &str, definition: &Value) {
    template(fixture, name).await;
    let version = json!({ "version": "1.0.0", "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
    fixture.post(Process::StackRegistry, &format!("/api/v1/stacks/{name}/versions"), version).await;
}

async fn onboard_with_template(fixture: &Fixture) -> Object {
    onboard(fixture, json!({ "stackTemplateId": fixture.slug() })).await
}

/// An onboarding with a stack.
fn onboarding(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        publish(fixture, &fixture.slug(), &shop()).await;
        onboard_with_template(fixture).await
    })
}

/// The platform of an onboarding with a stack.
fn platform(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let object = onboarding(fixture).await;
        fixture.until(Process::Registry, &format!("platforms WHERE id = '{}'", object.platform)).await;
        let path = format!("/api/v1/platforms/{}/explain", object.platform);
        Object { service: Process::Registry, path, ..object }
    })
}

fn unknown(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move { onboard_with_template(fixture).await })
}

fn deprecated(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let name = fixture.slug();
        publish(fixture, &name, &shop()).await;
        fixture
            .system
            .stacks
            .patch(&format!("/api/v1/stacks/{name}"), json!({ "status": "deprecated" }))
            .await
            .expect(200);
        onboard_with_template(fixture).await
    })
}

fn empty(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        template(fixture, &fixture.slug()).await;
        onboard_with_template(fixture).await
    })
}

fn needy(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let mut definition = shop();
        definition["inputs"] = json!({ "type": "object", "required": ["currency"],
            "properties": { "currency": { "type": "string" } } });
        publish(fixture, &fixture.slug(), &definition).await;
        onboard_with_template(fixture).await
    })
}

fn dependent(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let base = format!("base-{}", fixture.slug());
        publish(fixture, &base, &shop()).await;
        let mut definition = shop();
        definition["dependsOn"] = json!([{ "template": base, "versionRange": "^1.0.0" }]);
        publish(fixture, &fixture.slug(), &definition).await;
        onboard_with_template(fixture).await
    })
}

/// An onboarding that starts while the registry is down, and whose slug another platform takes before the registry is
/// back.
fn taken(fixture: &mut Fixture) -> Later<'_, Object> {
    Box::pin(async move {
        let slug = fixture.slug();
        fixture.system.registry.stop().await;
        let object = onboard(fixture, json!({})).await;
        let path = format!("/api/v1/onboarding/{}", object.onboarding);
        fixture.system.onboarding.post(&format!("{path}/pause"), json!({})).await.expect(200);
        let paused = format!("sagas WHERE id = '{}' AND lease_until IS NULL", object.onboarding);
        fixture.until(Process::Onboarding, &paused).await;
        fixture.restart(Process::Registry).await;
        let body = json!({ "name": "First", "slug": slug });
        fixture.system.registry.post("/api/v1/platforms", body).await.expect(201);
        fixture.system.onboarding.post(&format!("{path}/resume"), json!({})).await.expect(200);
        object
    })
}

fn cancel<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        // A job that has not started would be superseded, and nothing would wait for it.
        let failed = format!(
            "sagas JOIN saga_steps ON saga_id = id WHERE subject = '{}' AND kind = 'ACTIVATE_STACK' \
             AND saga_steps.error LIKE '%out of space%'",
            object.platform
        );
        fixture.until(Process::Provisioning, &failed).await;
        let path = format!("/api/v1/onboarding/{}", object.onboarding);
        fixture.system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    })
}

fn stop<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        fixture.system.stacks.stop().await;
        clear_rules(fixture, object).await;
    })
}

fn start<'s>(fixture: &'s mut Fixture, _: &'s Object) -> Later<'s, ()> {
    Box::pin(async move { fixture.restart(Process::StackRegistry).await })
}

/// Changes published definitions, with the triggers that forbid this disabled.
async fn rewrite(fixture: &Fixture, definition: &str) {
    let mut superuser = fixture.system.stacks.db.connect_as_superuser().await;
    superuser.batch_execute("SET session_replication_role = replica").await.unwrap();
    let sql = format!("UPDATE stack_versions SET stack_definition = {definition}");
    superuser.batch_execute(&sql).await.unwrap();
}

fn break_definition<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        rewrite(fixture, "'?' || stack_definition").await;
        clear_rules(fixture, object).await;
    })
}

fn repair_definition<'s>(fixture: &'s mut Fixture, _: &'s Object) -> Later<'s, ()> {
    Box::pin(async move { rewrite(fixture, "substr(stack_definition, 2)").await })
}
