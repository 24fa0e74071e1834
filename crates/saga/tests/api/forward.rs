//! The forward run of sagas, with transient and permanent failures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::Kind;
use saga::{Cause, Fault, InjectionPoint, OnFailure, Policy, SagaStatus, StepPhase, StepStatus};

use crate::{
    steps::{Act, Output, POLICY, STEPS, definition},
    world::{STOP, UNDO, World, attempts, kind, statuses},
};

#[tokio::test]
async fn every_step_runs_once_in_order() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let before = world.load(id).await;
    assert_eq!((before.saga.status, before.saga.started_at), (SagaStatus::Pending, None));
    assert_eq!(statuses(&before), [StepStatus::Pending; 3]);

    assert!(engine.run_once().await.unwrap());
    let record = world.load(id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1; 3]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"]);
    let outputs: Vec<Output> = record
        .steps
        .iter()
        .map(|step| serde_json::from_value(step.output.clone().unwrap()).unwrap())
        .collect();
    assert_eq!(outputs[2], Output { step: "c".to_owned(), by: "first".to_owned() });
    assert!(!engine.run_once().await.unwrap(), "nothing is due any more");
}

#[tokio::test]
async fn every_step_twice_leaves_single_effects() {
    let world = World::new().await;
    let twice =
        |setup: &mut crate::world::Setup| setup.hooks.fault_injector = Some(Arc::new(|_| Fault::RunTwice));
    let engine = world.engine(twice);
    let id = world.begin(UNDO).await;
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(id).await, ["run a", "run a", "run b", "run b", "run c", "run c"]);
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    for (at, step) in STEPS.iter().enumerate() {
        let id = world.begin(UNDO).await;
        let acts = [Act::Fail(Kind::ServiceUnavailable), Act::FailAfter(Kind::Internal)];
        world.script.next(id, step, false, acts);

        assert!(engine.run_once().await.unwrap());
        let record = world.load(id).await;
        assert_eq!(
            (record.saga.status, record.saga.lease_until),
            (SagaStatus::Running, None),
            "no runner holds it during the pause"
        );
        let row = &record.steps[at];
        assert_eq!((row.status, row.attempts), (StepStatus::InProgress, 1));
        assert_eq!(row.error.as_deref(), Some("SERVICE_UNAVAILABLE: scripted"));
        assert!(row.next_attempt_at.is_some());

        let record = world.settle(&engine, id).await;
        world.assert_completed(&record).await;
        assert_eq!(record.steps[at].attempts, 3, "step {step}");
        assert_eq!(attempts(&record).iter().sum::<i32>(), 5);
        assert_eq!(world.calls(id).await.len(), 5);
    }
}

#[tokio::test]
async fn permanent_failure_undoes_earlier_steps_in_reverse() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    for (at, step) in STEPS.iter().enumerate() {
        for act in [Act::Fail(Kind::Unprocessable), Act::FailAfter(Kind::Validation)] {
            let id = world.begin(UNDO).await;
            world.script.next(id, step, false, [act]);
            let record = world.settle(&engine, id).await;
            world.assert_undone(&record, Cause::Failed).await;
            let why = record.saga.error.clone().unwrap();
            assert!(why.starts_with(&format!("{step}: ")) && why.ends_with(": scripted"), "{why}");
            for (position, row) in record.steps.iter().enumerate() {
                let expected = if position <= at { StepStatus::Compensated } else { StepStatus::Skipped };
                assert_eq!(row.status, expected, "{step}: {row:?}");
                assert_eq!(row.error.is_some(), position == at, "only the failed step has an error");
            }
            let ran = STEPS[..=at].iter().map(|step| format!("run {step}"));
            let undone = STEPS[..=at].iter().rev().map(|step| format!("undo {step}"));
            assert_eq!(world.calls(id).await, ran.chain(undone).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn outages_do_not_count_against_attempts() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let outage = || vec![Act::Fail(Kind::ServiceUnavailable); 2 * usize::try_from(POLICY.attempts).unwrap()];
    let mut acts = outage();
    // All attempts are left after the outage, so these failures use up all but one.
    acts.extend(vec![Act::Fail(Kind::Upstream); usize::try_from(POLICY.attempts).unwrap() - 1]);
    acts.extend(outage());
    acts.extend(vec![Act::Fail(Kind::RateLimited); 2 * usize::try_from(POLICY.attempts).unwrap()]);
    let expected = i32::try_from(acts.len()).unwrap() + 1;
    world.script.next(id, "b", false, acts);
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, expected, 1]);
}

#[tokio::test]
async fn saga_is_undone_after_the_last_attempt_of_a_step() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.always(id, "b", false, Act::FailAfter(Kind::Upstream));
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(record.saga.error.as_deref(), Some("b: UPSTREAM_ERROR: scripted"));
    assert_eq!(attempts(&record), [1, POLICY.attempts, 0]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run b", "run b", "undo b", "undo a"]);
}

#[tokio::test]
async fn hanging_step_times_out_and_is_retried() {
    let world = World::new().await;
    let policy = Policy { timeout: Duration::from_millis(500), ..POLICY };
    let hasty = kind("hasty".to_owned());
    let engine = world.engine(|setup| setup.definitions = vec![definition(hasty, OnFailure::Undo, policy)]);
    let id = world.begin(hasty).await;
    world.script.next(id, "b", false, [Act::Sleep(Duration::from_secs(60))]);
    assert!(engine.run_once().await.unwrap());
    let row = world.load(id).await.steps[1].clone();
    assert_eq!(row.error.as_deref(), Some("GATEWAY_TIMEOUT: The step took longer than 0.5 s."));
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
}

#[tokio::test]
async fn panic_counts_as_a_failure() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let once = world.begin(UNDO).await;
    world.script.next(once, "b", false, [Act::Panic]);
    let record = world.settle(&engine, once).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);

    let always = world.begin(UNDO).await;
    world.script.always(always, "b", false, Act::Panic);
    let record = world.settle(&engine, always).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(attempts(&record), [1, POLICY.attempts, 0]);
}

#[tokio::test]
async fn nul_characters_do_not_block_a_saga() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let message = world.begin(UNDO).await;
    world.script.next(message, "b", false, [Act::NulMessage]);
    let record = world.settle(&engine, message).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(record.saga.error.as_deref(), Some("b: UNPROCESSABLE: nul \u{fffd} nul"));

    let output = world.begin(UNDO).await;
    world.script.next(output, "b", false, [Act::NulOutput]);
    let record = world.settle(&engine, output).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
}

#[tokio::test]
async fn skipped_step_is_not_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "a", false, [Act::Skip]);
    world.script.next(id, "c", false, [Act::Fail(Kind::Unprocessable)]);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(statuses(&record), [StepStatus::Skipped, StepStatus::Compensated, StepStatus::Compensated]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c", "undo c", "undo b"]);
}

#[tokio::test]
async fn saga_that_stops_on_failure_is_stuck_until_retried() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(STOP).await;
    assert!(!world.retry(id).await, "it is not stuck");
    world.script.always(id, "b", false, Act::Fail(Kind::Upstream));
    let record = world.settle(&engine, id).await;
    assert_eq!((record.saga.status, record.saga.cause), (SagaStatus::Stuck, None));
    assert_eq!(record.saga.error.as_deref(), Some("b: UPSTREAM_ERROR: scripted"));
    assert_eq!(statuses(&record), [StepStatus::Completed, StepStatus::Failed, StepStatus::Pending]);
    assert_eq!(attempts(&record), [1, POLICY.attempts, 0]);
    assert_eq!(world.effects(id).await, ["a"], "nothing is undone");
    assert!(record.saga.finished_at.is_some());
    assert!(!engine.run_once().await.unwrap(), "nothing happens by itself");
    assert!(!world.request_undo(id).await);

    world.script.heal(id, "b", false);
    world.script.next(id, "b", false, [Act::Fail(Kind::Upstream), Act::Fail(Kind::Upstream)]);
    assert!(world.retry(id).await);
    assert!(!world.retry(id).await, "it is in progress again");
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 3, 1], "attempts start again");
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run a").count(), 1);
}

#[tokio::test]
async fn injected_failure_counts_as_a_failure_of_the_step() {
    let world = World::new().await;
    let fault_injector = |now: InjectionPoint<'_>| match (now.step, now.phase) {
        ("b", StepPhase::AfterEffect) => Fault::Fail(domain::Error::new(Kind::Unprocessable, "injected")),
        _ => Fault::None,
    };
    let engine = world.engine(|setup| setup.hooks.fault_injector = Some(Arc::new(fault_injector)));
    let id = world.begin(STOP).await;
    let record = world.settle(&engine, id).await;
    assert_eq!((record.saga.status, world.effects(id).await.len()), (SagaStatus::Stuck, 2));
}

#[tokio::test]
async fn injected_timeout_is_retried_even_if_the_step_took_effect() {
    let world = World::new().await;
    let late = AtomicBool::new(false);
    let fault_injector = move |now: InjectionPoint<'_>| match (now.step, now.phase) {
        ("b", StepPhase::AfterIntent) if !late.swap(true, Ordering::SeqCst) => {
            Fault::TimeOut(Duration::from_secs(1))
        }
        _ => Fault::None,
    };
    let engine = world.engine(|setup| setup.hooks.fault_injector = Some(Arc::new(fault_injector)));
    let id = world.begin(UNDO).await;
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run b", "run c"]);
}
