//! The saga, tried at every step: done twice, failed, killed, undone twice.

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

fn at(phase: StepPhase, step: &'static str, verdict: fn() -> Fault) -> FaultInjector {
    Arc::new(
        move |now| if !now.undo && (now.phase, now.step) == (phase, step) { verdict() } else { Fault::None },
    )
}

/// The same, but only the first time that the point is passed.
fn once(phase: StepPhase, undo: bool, step: &'static str, verdict: fn() -> Fault) -> FaultInjector {
    let met = AtomicBool::new(false);
    Arc::new(move |now| {
        let here = (now.undo, now.phase, now.step) == (undo, phase, step);
        if here && !met.swap(true, Ordering::SeqCst) { verdict() } else { Fault::None }
    })
}

fn broken() -> Fault {
    Fault::Fail(Error::new(Kind::Unprocessable, "broken on purpose"))
}

fn passing() -> Fault {
    Fault::Fail(Error::new(Kind::ServiceUnavailable, "away for a moment"))
}

#[tokio::test]
async fn every_step_twice_leaves_one_of_everything() {
    let twice: FaultInjector =
        Arc::new(|now| if now.phase == StepPhase::AfterIntent { Fault::RunTwice } else { Fault::None });
    let system = System::start_interposed(Some(Arc::clone(&twice)), Some(twice)).await;
    let id = system.onboard("twice").await;
    let session = system.ended(&id).await;
    system.assert_whole(&session).await;
}

#[rstest]
#[tokio::test]
async fn a_failure_for_good_is_undone(
    #[values(0, 1, 2, 3, 4)] step: usize,
    #[values(false, true)] had_effect: bool,
) {
    let phase = if had_effect { StepPhase::AfterEffect } else { StepPhase::AfterIntent };
    let system = System::start_interposed(Some(at(phase, STEPS[step], broken)), None).await;
    let id = system.onboard("broken").await;
    let session = system.ended(&id).await;
    assert_eq!(session["status"], "failed", "{session}");
    assert!(session["error"].as_str().unwrap().contains("broken on purpose"), "{session}");
    for (index, row) in session["steps"].as_array().unwrap().iter().enumerate() {
        // The repository is set up beside the infrastructure.
        let begun = index <= step || (STEPS[step], STEPS[index]) == ("provision_infra", "setup_repo");
        let expected = if begun { "compensated" } else { "skipped" };
        assert_eq!(row["status"], expected, "{session}");
    }
    system.assert_nothing_left(&session, "broken").await;
}

#[rstest]
#[tokio::test]
async fn a_failed_job_is_undone_and_so_is_the_onboarding(#[values(0, 1, 2, 3)] step: usize) {
    let system =
        System::start_interposed(None, Some(at(StepPhase::AfterEffect, JOB_STEPS[step], broken))).await;
    let id = system.onboard("broken").await;
    let session = system.ended(&id).await;
    assert_eq!(session["status"], "failed", "{session}");
    assert!(session["error"].as_str().unwrap().contains("provisioning job"), "{session}");
    system.assert_nothing_left(&session, "broken").await;
}

#[rstest]
#[tokio::test]
async fn a_passing_failure_is_tried_again(#[values(0, 1, 2, 3, 4)] step: usize) {
    let fault_injector = once(StepPhase::AfterEffect, false, STEPS[step], passing);
    let system = System::start_interposed(Some(fault_injector), None).await;
    let session = system.ended(&system.onboard("passing").await).await;
    system.assert_whole(&session).await;
    assert_eq!(session["steps"][step]["attempts"], 2, "{session}");
}

#[rstest]
#[tokio::test]
async fn a_runner_that_dies_is_succeeded(
    #[values(0, 1, 2, 3, 4)] step: usize,
    #[values(
        StepPhase::BeforeIntent,
        StepPhase::AfterIntent,
        StepPhase::AfterEffect,
        StepPhase::AfterRecord
    )]
    phase: StepPhase,
) {
    let system = System::start_interposed(Some(once(phase, false, STEPS[step], || Fault::Crash)), None).await;
    let session = system.ended(&system.onboard("dies").await).await;
    system.assert_whole(&session).await;
}

#[rstest]
#[tokio::test]
async fn undone_twice_and_by_a_runner_that_dies(#[values(0, 1, 2, 3, 4)] step: usize) {
    let died = Mutex::new(false);
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (false, StepPhase::AfterEffect) if now.step == "verify" => broken(),
        (true, StepPhase::AfterIntent) => Fault::RunTwice,
        (true, StepPhase::AfterEffect)
            if now.step == STEPS[step] && !std::mem::replace(&mut *died.lock().unwrap(), true) =>
        {
            Fault::Crash
        }
        _ => Fault::None,
    });
    let system = System::start_interposed(Some(fault_injector), None).await;
    let session = system.ended(&system.onboard("undone").await).await;
    assert_eq!(session["status"], "failed", "{session}");
    system.assert_nothing_left(&session, "undone").await;
}

/// What fails more often than undoing is tried leaves the onboarding to a person, who says with `cancelled` that it is
/// to be tried anew.
#[tokio::test]
async fn one_that_cannot_be_undone_is_tried_anew_when_someone_asks() {
    let away = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&away);
    let fault_injector: FaultInjector = Arc::new(move |now| match (now.undo, now.phase) {
        (false, StepPhase::AfterEffect) if now.step == "verify" => broken(),
        (true, StepPhase::AfterIntent) if now.step == "create_platform" && still.load(Ordering::SeqCst) => {
            Fault::Fail(Error::new(Kind::Upstream, "not today"))
        }
        _ => Fault::None,
    });
    let system = System::start_interposed(Some(fault_injector), None).await;
    let id = system.onboard("stuck").await;
    let path = format!("/api/v1/onboarding/{id}");
    let mut database = system.onboarding.db.connect().await;
    loop {
        let session = system.onboarding.get(&path).await.expect(200);
        assert_eq!(session["status"], "in_progress", "{session}");
        if session["steps"][0]["waitingFor"] == "an operator: all attempts failed" {
            break;
        }
        // As if time had passed: all its pauses are over, and so are all its tries but one.
        let sql = "UPDATE sagas SET next_run_at = now() WHERE status = 'undoing'; \
                   UPDATE saga_steps SET undo_attempts = 19 WHERE undo_attempts BETWEEN 1 AND 18";
        database.batch_execute(sql).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    away.store(false, Ordering::SeqCst);
    let cancel = json!({ "status": "cancelled" });
    system.onboarding.patch(&path, cancel.clone()).await.expect(200);
    let session = system.ended(&id).await;
    assert_eq!(session["status"], "failed", "{session}");
    assert!(session["error"].as_str().unwrap().contains("broken on purpose"), "{session}");
    system.assert_nothing_left(&session, "stuck").await;
    system.onboarding.patch(&path, cancel).await.expect_error(409, "INVALID_TRANSITION");
}
