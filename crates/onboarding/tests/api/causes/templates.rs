//! What is wrong with the template that an onboarding asks for.

use diesel_async::SimpleAsyncConnection;
use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use serde_json::{Value, json};

use super::{
    provider::onboard,
    scene::{Cause, Later, Process, Scene, Thing, calm, later, never},
};

pub(super) fn causes() -> Vec<Cause> {
    vec![
        Cause::of("the stack of an onboarding waits for the provider", platform)
            .rules([later(Operation::Ensure, Kind::Kv, "out of space")])
            .tells(&["platform", "onboarding", "stack", "job"], &["step shared has failed", "out of space"])
            .lift(calm),
        Cause::of("the stack of an onboarding has failed", onboarding)
            .rules([never(Operation::Ensure, Kind::Kv, "quota of the account is used up")])
            .tells(
                &["onboarding"],
                &["it was undone: verify", "has failed", "quota of the account is used up"],
            ),
        Cause::of("a stack that is to be taken down is still being made", onboarding)
            .rules([later(Operation::Ensure, Kind::Kv, "out of space")])
            .inject(cancel)
            .tells(&["onboarding", "stack", "job", "job"], &["step shared has failed", "out of space"]),
        Cause::of("the stack registry is away", onboarding)
            .inject(stop)
            .rules([later(Operation::Ensure, Kind::GitRepository, "not yet")])
            .tells(
                &["onboarding"],
                &["step deploy_services has failed", "The stack registry is not available"],
            )
            .lift(start),
        Cause::of("there is no such template", unknown)
            .tells(&["onboarding"], &["it was undone: deploy_services: TEMPLATE_UNAVAILABLE"]),
        Cause::of("the template is deprecated", deprecated)
            .tells(&["onboarding"], &["it was undone: deploy_services: TEMPLATE_UNAVAILABLE", "deprecated"]),
        Cause::of("the template has no version", empty)
            .tells(&["onboarding"], &["it was undone: deploy_services: TEMPLATE_UNAVAILABLE"]),
        Cause::of("the template needs an input", needy)
            .tells(&["onboarding"], &["it was undone: deploy_services: VALIDATION_ERROR: inputs"]),
        Cause::of("what the template depends on is not there", dependent).tells(
            &["onboarding"],
            &["it was undone: deploy_services: UNPROCESSABLE", "depends on base-cause-9 ^1.0.0"],
        ),
        Cause::of("the template cannot be read", onboarding)
            .rules([later(Operation::Ensure, Kind::GitRepository, "not yet")])
            .inject(break_definition)
            .tells(&["onboarding"], &["step deploy_services has failed", "UPSTREAM_ERROR"])
            .lift(mend_definition),
        Cause::of("another has the slug", taken)
            .tells(&["onboarding"], &["it was undone: create_platform: ALREADY_EXISTS", "is already taken"]),
    ]
}

/// A definition that shares a store.
pub(super) fn shop() -> Value {
    json!({ "schemaVersion": 1, "displayName": "Shop", "features": [
        { "id": "cart", "version": "1.0.0", "package": "@shop/cart", "required": true, "permissions": [] }
    ], "resources": { "d1": true, "r2": false, "kv": true, "queue": false } })
}

async fn template(scene: &Scene, name: &str) {
    let body = json!({ "name": name, "displayName": "Shop", "description": "Sells" });
    scene.post(Process::StackRegistry, "/api/v1/stacks", body).await;
}

pub(super) async fn publish(scene: &Scene, name: &str, definition: &Value) {
    template(scene, name).await;
    let version = json!({ "version": "1.0.0", "stackDefinition": definition, "nnoSdkVersion": "1.0.0" });
    scene.post(Process::StackRegistry, &format!("/api/v1/stacks/{name}/versions"), version).await;
}

async fn of_template(scene: &Scene) -> Thing {
    onboard(scene, json!({ "stackTemplateId": scene.slug() })).await
}

/// An onboarding with a stack.
fn onboarding(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        publish(scene, &scene.slug(), &shop()).await;
        of_template(scene).await
    })
}

/// Its platform.
fn platform(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let thing = onboarding(scene).await;
        scene.until(Process::Registry, &format!("platforms WHERE id = '{}'", thing.platform)).await;
        let path = format!("/api/v1/platforms/{}/explain", thing.platform);
        Thing { of: Process::Registry, path, ..thing }
    })
}

fn unknown(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move { of_template(scene).await })
}

fn deprecated(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let name = scene.slug();
        publish(scene, &name, &shop()).await;
        scene
            .system
            .stacks
            .patch(&format!("/api/v1/stacks/{name}"), json!({ "status": "deprecated" }))
            .await
            .expect(200);
        of_template(scene).await
    })
}

fn empty(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        template(scene, &scene.slug()).await;
        of_template(scene).await
    })
}

fn needy(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let mut definition = shop();
        definition["inputs"] = json!({ "type": "object", "required": ["currency"],
            "properties": { "currency": { "type": "string" } } });
        publish(scene, &scene.slug(), &definition).await;
        of_template(scene).await
    })
}

fn dependent(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let base = format!("base-{}", scene.slug());
        publish(scene, &base, &shop()).await;
        let mut definition = shop();
        definition["dependsOn"] = json!([{ "template": base, "versionRange": "^1.0.0" }]);
        publish(scene, &scene.slug(), &definition).await;
        of_template(scene).await
    })
}

/// One that begins while the registry is away, and whose slug a platform gets before the registry can be asked.
fn taken(scene: &mut Scene) -> Later<'_, Thing> {
    Box::pin(async move {
        let slug = scene.slug();
        scene.system.registry.stop().await;
        let thing = onboard(scene, json!({})).await;
        let path = format!("/api/v1/onboarding/{}", thing.session);
        scene.system.onboarding.post(&format!("{path}/pause"), json!({})).await.expect(200);
        let rests = format!("sagas WHERE id = '{}' AND lease_until IS NULL", thing.session);
        scene.until(Process::Onboarding, &rests).await;
        scene.start_again(Process::Registry).await;
        let body = json!({ "name": "First", "slug": slug });
        scene.system.registry.post("/api/v1/platforms", body).await.expect(201);
        scene.system.onboarding.post(&format!("{path}/resume"), json!({})).await.expect(200);
        thing
    })
}

fn cancel<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        // A job that has not begun is superseded, and keeps nothing waiting.
        let failed = format!(
            "sagas JOIN saga_steps ON saga_id = id WHERE subject = '{}' AND kind = 'ACTIVATE_STACK' \
             AND saga_steps.error LIKE '%out of space%'",
            thing.platform
        );
        scene.until(Process::Provisioning, &failed).await;
        let path = format!("/api/v1/onboarding/{}", thing.session);
        scene.system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    })
}

fn stop<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        scene.system.stacks.stop().await;
        calm(scene, thing).await;
    })
}

fn start<'s>(scene: &'s mut Scene, _: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move { scene.start_again(Process::StackRegistry).await })
}

/// Changes what was published, which cannot be done but behind the database's back.
async fn rewrite(scene: &Scene, definition: &str) {
    let mut superuser = scene.system.stacks.db.connect_as_superuser().await;
    superuser.batch_execute("SET session_replication_role = replica").await.unwrap();
    let sql = format!("UPDATE stack_versions SET stack_definition = {definition}");
    superuser.batch_execute(&sql).await.unwrap();
}

fn break_definition<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        rewrite(scene, "'?' || stack_definition").await;
        calm(scene, thing).await;
    })
}

fn mend_definition<'s>(scene: &'s mut Scene, _: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move { rewrite(scene, "substr(stack_definition, 2)").await })
}
