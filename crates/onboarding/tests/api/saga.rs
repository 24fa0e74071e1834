//! Faults in every step of the saga: repeated runs, failures, crashes and repeated undos.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::saga::{Fault, FaultInjector, StepPhase};
use diesel_async::SimpleAsyncConnection;
use domain::{Error, Kind};
use rstest::rstest;
use serde_json::json;

use crate::system::System;

const STEPS: [&str; 5] = ["create_platform", "provision_infra", "setup_repo", "deploy_services", "verify"];
const JOB_STEPS: [&str; 4] = ["auth_database", "auth_worker", "auth_secret", "dns"];

/// Injects a fault in this phase of a step's run.
fn at(phase: StepPhase, step: &'static str, fault: fn() -> Fault) -> FaultInjector {
    Arc::new(
        move |now| if !now.undo && (now.phase, now.step) == (phase, step) { fault() } else { Fault::None },
    )
}

/// Injects a fault the first time that a step reaches this phase.
fn once(phase: StepPhase, undo: bool, step: &'static str, fault: fn() -> Fault) -> FaultInjector {
    let injected = AtomicBool::new(false);
    Arc::new(move |now| {
        let here = (now.undo, now.phase, now.step) == (undo, phase, step);
        if here && !injected.swap(true, Ordering::SeqCst) { fault() } else { Fault::None }
    })
}

fn broken() -> Fault {
    Fault::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

fn transient() -> Fault {
    Fault::Fail(Error::new(Kind::ServiceUnavailable, "away for a moment"))
}

#[tokio::test]
async fn running_every_step_twice_creates_each_object_once() {
    let twice: FaultInjector =
        Arc::new(|now| if now.phase == StepPhase::AfterIntent { Fault::RunTwice } else { Fault::None });
    let system = System::start_with_faults(Some(Arc::clone(&twice)), Some(twice)).await;
    let id = system.onboard("twice").await;
    let onboarding = system.wait_for_end(&id).await;
    system.assert_complete(&onboarding).await;
}

#[rstest]
#[tokio::test]
async fn permanent_failure_undoes_the_onboarding(
    #[values(0, 1, 2, 3, 4)] step: usize,
    #[values(false, true)] had_effect: bool,
) {
    let phase = if had_effect { StepPhase::AfterEffect } else { StepPhase::AfterIntent };
    let system = System::start_with_faults(Some(at(phase, STEPS[step], broken)), None).await;
    let id = system.onboard("broken").await;
    let onboarding = system.wait_for_end(&id).await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    assert!(onboarding["error"].as_str().unwrap().contains("broken on purpose"), "{onboarding}");
    for (index, row) in onboarding["steps"].as_array().unwrap().iter().enumerate() {
        // The repository is set up concurrently with the infrastructure.
        let started = index <= step || (STEPS[step], STEPS[index]) == ("provision_infra", "setup_repo");
        let expected = if started { "compensated" } else { "skipped" };
        assert_eq!(row["status"], expected, "{onboarding}");
    }
    system.assert_nothing_left(&onboarding, "broken").await;
}

#[rstest]
#[tokio::test]
async fn failed_job_undoes_the_onboarding(#[values(0, 1, 2, 3)] step: usize) {
    let system =
        System::start_with_faults(None, Some(at(StepPhase::AfterEffect, JOB_STEPS[step], broken))).await;
    let id = system.onboard("broken").await;
    let onboarding = system.wait_for_end(&id).await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    assert!(onboarding["error"].as_str().unwrap().contains("provisioning job"), "{onboarding}");
    system.assert_nothing_left(&onboarding, "broken").await;
}

#[rstest]
#[tokio::test]
async fn transient_failure_is_retried(#[values(0, 1, 2, 3, 4)] step: usize) {
    let fault_injector = once(StepPhase::AfterEffect, false, STEPS[step], transient);
    let system = System::start_with_faults(Some(fault_injector), None).await;
    let onboarding = system.wait_for_end(&system.onboard("transient").await).await;
    system.assert_complete(&onboarding).await;
    assert_eq!(onboarding["steps"][step]["attempts"], 2, "{onboarding}");
}

#[rstest]
#[tokio::test]
async fn another_runner_takes_over_after_a_crash(
    #[values(0, 1, 2, 3, 4)] step: usize,
    #[values(
        StepPhase::BeforeIntent,
        StepPhase::AfterIntent,
        StepPhase::AfterEffect,
        StepPhase::AfterRecord
    )]
    phase: StepPhase,
) {
    let system =
        System::start_with_faults(Some(once(phase, false, STEPS[step], || Fault::Crash)), None).await;
    let onboarding = system.wait_for_end(&system.onboard("crashes").await).await;
    system.assert_complete(&onboarding).await;
}

#[rstest]
#[tokio::test]
async fn undo_survives_repetition_and_a_crash(#[values(0, 1, 2, 3, 4)] step: usize) {
    let crashed = Mutex::new(false);
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (false, StepPhase::AfterEffect) if now.step == "verify" => broken(),
        (true, StepPhase::AfterIntent) => Fault::RunTwice,
        (true, StepPhase::AfterEffect)
            if now.step == STEPS[step] && !std::mem::replace(&mut *crashed.lock().unwrap(), true) =>
        {
            Fault::Crash
        }
        _ => Fault::None,
    });
    let system = System::start_with_faults(Some(fault_injector), None).await;
    let onboarding = system.wait_for_end(&system.onboard("undone").await).await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    system.assert_nothing_left(&onboarding, "undone").await;
}

/// When the undo has used all its attempts, the status `cancelled` starts them again.
#[tokio::test]
async fn cancelling_a_stuck_onboarding_retries_its_undo() {
    let away = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&away);
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (false, StepPhase::AfterEffect) if now.step == "verify" => broken(),
        (true, StepPhase::AfterIntent) if now.step == "create_platform" && still.load(Ordering::SeqCst) => {
            Fault::Fail(Error::new(Kind::Upstream, "not today"))
        }
        _ => Fault::None,
    });
    let system = System::start_with_faults(Some(fault_injector), None).await;
    let id = system.onboard("stuck").await;
    let path = format!("/api/v1/onboarding/{id}");
    let mut database = system.onboarding.db.connect().await;
    loop {
        let onboarding = system.onboarding.get(&path).await.expect(200);
        assert_eq!(onboarding["status"], "in_progress", "{onboarding}");
        if onboarding["steps"][0]["waitingFor"] == "an operator: all attempts failed" {
            break;
        }
        // Ends the pauses, and uses up all attempts but one.
        let sql = "UPDATE sagas SET next_run_at = now() WHERE status = 'undoing'; \
                   UPDATE saga_steps SET undo_attempts = 19 WHERE undo_attempts BETWEEN 1 AND 18";
        database.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    away.store(false, Ordering::SeqCst);
    let cancel = json!({ "status": "cancelled" });
    system.onboarding.patch(&path, cancel.clone()).await.expect(200);
    let onboarding = system.wait_for_end(&id).await;
    assert_eq!(onboarding["status"], "failed", "{onboarding}");
    assert!(onboarding["error"].as_str().unwrap().contains("broken on purpose"), "{onboarding}");
    system.assert_nothing_left(&onboarding, "stuck").await;
    system.onboarding.patch(&path, cancel).await.expect_error(409, "INVALID_TRANSITION");
}
