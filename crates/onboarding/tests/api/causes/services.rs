//! Causes: services that are down, silent or replaced.

use fake_provider::Operation;
use provisioning::providers::ResourceKind as Kind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    features::feature,
    fixture::{Cause, Fixture, Later, Object, Process, clear_rules, fails_for_now, hangs},
    provider::{onboarding, platform},
};

pub(super) fn causes() -> Vec<Cause> {
    let lunch = || [fails_for_now(Operation::Ensure, Kind::D1, "out to lunch")];
    vec![
        Cause::new("provisioning is down, and the platform waits for its job", platform)
            .rules(lunch())
            .inject(stop_provisioning)
            .expect(&["platform", "onboarding", "service"], &["the service provisioning cannot be reached"])
            .remove(start_provisioning),
        Cause::new("onboarding is down", platform)
            .rules(lunch())
            .inject(stop_onboarding)
            .expect(&["platform", "service"], &["the service onboarding cannot be reached"])
            .remove(start_onboarding),
        Cause::new("the registry is down when a job reports to it", onboarding)
            .rules([hangs(Kind::D1)])
            .inject(stop_registry)
            .expect(
                &["onboarding", "job"],
                &["SERVICE_UNAVAILABLE: The service 'registry' is not available. Try again shortly."],
            )
            .remove(start_registry),
        Cause::new("the registry is down when an onboarding starts", onboarding)
            .without(Process::Registry)
            .expect(
                &["onboarding"],
                &[
                    "step create_platform has failed",
                    "The service 'registry' is not available. Try again shortly.",
                ],
            )
            .remove(start_registry),
        Cause::new("provisioning is down when a feature is activated", feature)
            .without(Process::Provisioning)
            .expect(
                &["feature", "request"],
                &[
                    "could not be delivered to provisioning",
                    "and will be retried at",
                    "SERVICE_UNAVAILABLE: The service 'provisioning'",
                ],
            )
            .remove(start_provisioning),
        Cause::new("provisioning stopped after it got the request", feature)
            .rules(lunch())
            .inject(stop_provisioning_after_request)
            .expect(&["feature", "service"], &["the service provisioning cannot be reached"])
            .remove(start_provisioning),
        Cause::new("provisioning accepts calls and does not respond", feature)
            .rules(lunch())
            .inject(be_silent)
            .expect(&["feature", "service"], &["the service provisioning does not answer in time"])
            .remove(start_provisioning),
        Cause::new("a different server responds at the address of provisioning", feature)
            .rules(lunch())
            .inject(talk_nonsense)
            .expect(&["feature", "service"], &["the service provisioning has an internal error"])
            .remove(start_provisioning),
        Cause::new("provisioning has lost a job", feature)
            .rules(lunch())
            .inject(lose_job)
            .expect(&["feature", "job"], &["was requested, but provisioning does not know it"])
            .remove(deliver_again),
        Cause::new("onboarding has lost the onboarding of the platform", platform)
            .rules(lunch())
            .inject(lose_onboarding)
            .expect(&["platform", "onboarding"], &["onboarding has no onboarding for the platform"])
            .remove(find_onboarding),
    ]
}

fn stop_provisioning<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        fixture.until(Process::Provisioning, &format!("sagas WHERE id = '{}'", object.job)).await;
        fixture.system.provisioning.stop().await;
    })
}

fn start<'s>(fixture: &'s mut Fixture, object: &'s Object, process: Process) -> Later<'s, ()> {
    Box::pin(async move {
        clear_rules(fixture, object).await;
        fixture.restart(process).await;
    })
}

pub(super) fn start_provisioning<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    start(fixture, object, Process::Provisioning)
}

fn start_onboarding<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    start(fixture, object, Process::Onboarding)
}

fn start_registry<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    start(fixture, object, Process::Registry)
}

fn stop_onboarding<'s>(fixture: &'s mut Fixture, _: &'s Object) -> Later<'s, ()> {
    Box::pin(async move { fixture.system.onboarding.stop().await })
}

/// The provider finishes its work only after the registry has stopped.
fn stop_registry<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        let hangs = format!("saga_steps WHERE saga_id = '{}' AND status = 'in_progress'", object.job);
        fixture.until(Process::Provisioning, &hangs).await;
        fixture.system.registry.stop().await;
        clear_rules(fixture, object).await;
    })
}

async fn wait_for_request(fixture: &Fixture, object: &Object) {
    fixture
        .until(Process::Registry, &format!("outbox WHERE id = '{}' AND delivered_at IS NOT NULL", object.job))
        .await;
}

pub(super) fn stop_provisioning_after_request<'s>(
    fixture: &'s mut Fixture,
    object: &'s Object,
) -> Later<'s, ()> {
    Box::pin(async move {
        wait_for_request(fixture, object).await;
        fixture.system.provisioning.stop().await;
    })
}

/// Replaces provisioning by a server that sends this response to every call.
fn replace<'s>(fixture: &'s mut Fixture, object: &'s Object, response: &'static [u8]) -> Later<'s, ()> {
    Box::pin(async move {
        stop_provisioning_after_request(fixture, object).await;
        let listener = TcpListener::bind(fixture.system.provisioning.grpc).await.unwrap();
        fixture.impostor = Some(tokio::spawn(async move {
            let mut callers = Vec::new();
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                let mut request = [0; 64];
                let _read = caller.read(&mut request).await;
                let _sent = caller.write_all(response).await;
                callers.push(caller);
            }
        }));
    })
}

fn be_silent<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    replace(fixture, object, b"")
}

fn talk_nonsense<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    replace(fixture, object, b"220 mail.example ESMTP\r\n")
}

fn lose_job<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        wait_for_request(fixture, object).await;
        fixture.sql(Process::Provisioning, &format!("DELETE FROM sagas WHERE id = '{}'", object.job)).await;
    })
}

fn deliver_again<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    Box::pin(async move {
        clear_rules(fixture, object).await;
        let again = format!(
            "UPDATE outbox SET delivered_at = NULL, next_attempt_at = now() WHERE id = '{}'",
            object.job
        );
        fixture.sql(Process::Registry, &again).await;
    })
}

/// The onboarding is paused meanwhile, because otherwise it would continue for a different platform.
fn lose_onboarding<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    let lost =
        format!("UPDATE sagas SET subject = 'lost', paused_at = now() WHERE subject = '{}'", object.platform);
    Box::pin(async move { fixture.sql(Process::Onboarding, &lost).await })
}

fn find_onboarding<'s>(fixture: &'s mut Fixture, object: &'s Object) -> Later<'s, ()> {
    let found = format!(
        "UPDATE sagas SET subject = '{}', paused_at = NULL, next_run_at = now() WHERE subject = 'lost'",
        object.platform
    );
    Box::pin(async move {
        fixture.sql(Process::Onboarding, &found).await;
        clear_rules(fixture, object).await;
    })
}
