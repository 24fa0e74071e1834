//! Services that are away, or not themselves.

use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    features::feature,
    provider::{onboarding, platform},
    scene::{Cause, Later, Process, Scene, Thing, calm, hangs, later},
};

pub(super) fn causes() -> Vec<Cause> {
    let lunch = || [later(Operation::Ensure, Kind::D1, "out to lunch")];
    vec![
        Cause::of("provisioning is away, and the platform waits for its job", platform)
            .rules(lunch())
            .inject(stop_provisioning)
            .tells(&["platform", "onboarding", "service"], &["the service provisioning cannot be reached"])
            .lift(start_provisioning),
        Cause::of("onboarding is away", platform)
            .rules(lunch())
            .inject(stop_onboarding)
            .tells(&["platform", "service"], &["the service onboarding cannot be reached"])
            .lift(start_onboarding),
        Cause::of("the registry is away, and a job is to tell it something", onboarding)
            .rules([hangs(Kind::D1)])
            .inject(stop_registry)
            .tells(
                &["onboarding", "job"],
                &["SERVICE_UNAVAILABLE: Registry is not available. Try again shortly."],
            )
            .lift(start_registry),
        Cause::of("the registry is away when an onboarding begins", onboarding)
            .away(Process::Registry)
            .tells(
                &["onboarding"],
                &["step create_platform has failed", "Registry is not available. Try again shortly."],
            )
            .lift(start_registry),
        Cause::of("provisioning is away, and a feature is asked for", feature)
            .away(Process::Provisioning)
            .tells(
                &["feature", "request"],
                &[
                    "could not be delivered to provisioning",
                    "and will be retried at",
                    "SERVICE_UNAVAILABLE: provisioning",
                ],
            )
            .lift(start_provisioning),
        Cause::of("provisioning was asked, and is away since", feature)
            .rules(lunch())
            .inject(stop_provisioning_once_asked)
            .tells(&["feature", "service"], &["the service provisioning cannot be reached"])
            .lift(start_provisioning),
        Cause::of("provisioning takes calls and does not answer", feature)
            .rules(lunch())
            .inject(be_silent)
            .tells(&["feature", "service"], &["the service provisioning does not answer in time"])
            .lift(start_provisioning),
        Cause::of("somebody else answers at the address of provisioning", feature)
            .rules(lunch())
            .inject(talk_nonsense)
            .tells(&["feature", "service"], &["the service provisioning has an internal error"])
            .lift(start_provisioning),
        Cause::of("provisioning knows nothing of a job that it was asked for", feature)
            .rules(lunch())
            .inject(lose_job)
            .tells(&["feature", "job"], &["was requested, but provisioning does not know it"])
            .lift(deliver_again),
        Cause::of("onboarding knows nothing of the platform", platform)
            .rules(lunch())
            .inject(lose_onboarding)
            .tells(&["platform", "onboarding"], &["onboarding has no onboarding for the platform"])
            .lift(find_onboarding),
    ]
}

fn stop_provisioning<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        scene.until(Process::Provisioning, &format!("sagas WHERE id = '{}'", thing.job)).await;
        scene.system.provisioning.stop().await;
    })
}

fn start<'s>(scene: &'s mut Scene, thing: &'s Thing, process: Process) -> Later<'s, ()> {
    Box::pin(async move {
        calm(scene, thing).await;
        scene.start_again(process).await;
    })
}

pub(super) fn start_provisioning<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    start(scene, thing, Process::Provisioning)
}

fn start_onboarding<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    start(scene, thing, Process::Onboarding)
}

fn start_registry<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    start(scene, thing, Process::Registry)
}

fn stop_onboarding<'s>(scene: &'s mut Scene, _: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move { scene.system.onboarding.stop().await })
}

/// The provider makes what it was asked for when nobody can be told any more.
fn stop_registry<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        let hangs = format!("saga_steps WHERE saga_id = '{}' AND status = 'in_progress'", thing.job);
        scene.until(Process::Provisioning, &hangs).await;
        scene.system.registry.stop().await;
        calm(scene, thing).await;
    })
}

async fn once_asked(scene: &Scene, thing: &Thing) {
    scene
        .until(Process::Registry, &format!("outbox WHERE id = '{}' AND delivered_at IS NOT NULL", thing.job))
        .await;
}

pub(super) fn stop_provisioning_once_asked<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        once_asked(scene, thing).await;
        scene.system.provisioning.stop().await;
    })
}

/// Somebody else takes the address of provisioning, and says this to every call.
fn replace<'s>(scene: &'s mut Scene, thing: &'s Thing, says: &'static [u8]) -> Later<'s, ()> {
    Box::pin(async move {
        stop_provisioning_once_asked(scene, thing).await;
        let listener = TcpListener::bind(scene.system.provisioning.grpc).await.unwrap();
        scene.impostor = Some(tokio::spawn(async move {
            let mut callers = Vec::new();
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                let mut heard = [0; 64];
                let _heard = caller.read(&mut heard).await;
                let _said = caller.write_all(says).await;
                callers.push(caller);
            }
        }));
    })
}

fn be_silent<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    replace(scene, thing, b"")
}

fn talk_nonsense<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    replace(scene, thing, b"220 mail.example ESMTP\r\n")
}

fn lose_job<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        once_asked(scene, thing).await;
        scene.sql(Process::Provisioning, &format!("DELETE FROM sagas WHERE id = '{}'", thing.job)).await;
    })
}

fn deliver_again<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move {
        calm(scene, thing).await;
        let again = format!(
            "UPDATE outbox SET delivered_at = NULL, next_attempt_at = now() WHERE id = '{}'",
            thing.job
        );
        scene.sql(Process::Registry, &again).await;
    })
}

/// It rests meanwhile, or it would go on for another platform.
fn lose_onboarding<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    let lost =
        format!("UPDATE sagas SET subject = 'lost', paused_at = now() WHERE subject = '{}'", thing.platform);
    Box::pin(async move { scene.sql(Process::Onboarding, &lost).await })
}

fn find_onboarding<'s>(scene: &'s mut Scene, thing: &'s Thing) -> Later<'s, ()> {
    let found = format!(
        "UPDATE sagas SET subject = '{}', paused_at = NULL, next_run_at = now() WHERE subject = 'lost'",
        thing.platform
    );
    Box::pin(async move {
        scene.sql(Process::Onboarding, &found).await;
        calm(scene, thing).await;
    })
}
