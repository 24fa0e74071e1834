//! Going on: step after step, with failures that pass and failures that do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::Kind;
use saga::{Cause, Moment, OnFailure, Point, Policy, SagaStatus, StepStatus, Verdict};

use crate::{
    steps::{Act, Output, POLICY, STEPS, definition},
    world::{STOP, UNDO, World, attempts, kind, statuses},
};

#[tokio::test]
async fn every_step_runs_once_in_order() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let before = world.told(id).await;
    assert_eq!((before.saga.status, before.saga.started_at), (SagaStatus::Pending, None));
    assert_eq!(statuses(&before), [StepStatus::Pending; 3]);

    assert!(engine.turn().await.unwrap());
    let told = world.told(id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1; 3]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"]);
    let outputs: Vec<Output> =
        told.steps.iter().map(|step| serde_json::from_value(step.output.clone().unwrap()).unwrap()).collect();
    assert_eq!(outputs[2], Output { step: "c".to_owned(), by: "first".to_owned() });
    assert!(!engine.turn().await.unwrap(), "nothing is due any more");
}

#[tokio::test]
async fn every_step_twice_leaves_single_effects() {
    let world = World::new().await;
    let twice = |setup: &mut crate::world::Setup| setup.hooks.interpose = Some(Arc::new(|_| Verdict::Twice));
    let engine = world.engine(twice);
    let id = world.begin(UNDO).await;
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(id).await, ["run a", "run a", "run b", "run b", "run c", "run c"]);
}

#[tokio::test]
async fn a_passing_failure_of_any_step_is_tried_again() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    for (at, step) in STEPS.iter().enumerate() {
        let id = world.begin(UNDO).await;
        let acts = [Act::Fail(Kind::ServiceUnavailable), Act::FailAfter(Kind::Internal)];
        world.script.next(id, step, false, acts);

        assert!(engine.turn().await.unwrap());
        let told = world.told(id).await;
        assert_eq!(
            (told.saga.status, told.saga.lease_until),
            (SagaStatus::Running, None),
            "it is free meanwhile"
        );
        let row = &told.steps[at];
        assert_eq!((row.status, row.attempts), (StepStatus::InProgress, 1));
        assert_eq!(row.error.as_deref(), Some("SERVICE_UNAVAILABLE: scripted"));
        assert!(row.next_attempt_at.is_some());

        let told = world.settle(&engine, id).await;
        world.assert_completed(&told).await;
        assert_eq!(told.steps[at].attempts, 3, "step {step}");
        assert_eq!(attempts(&told).iter().sum::<i32>(), 5);
        assert_eq!(world.calls(id).await.len(), 5);
    }
}

#[tokio::test]
async fn a_lasting_failure_of_any_step_undoes_all_before_it_in_reverse() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    for (at, step) in STEPS.iter().enumerate() {
        for act in [Act::Fail(Kind::Unprocessable), Act::FailAfter(Kind::Validation)] {
            let id = world.begin(UNDO).await;
            world.script.next(id, step, false, [act]);
            let told = world.settle(&engine, id).await;
            world.assert_undone(&told, Cause::Failed).await;
            let why = told.saga.error.clone().unwrap();
            assert!(why.starts_with(&format!("{step}: ")) && why.ends_with(": scripted"), "{why}");
            for (position, row) in told.steps.iter().enumerate() {
                let expected = if position <= at { StepStatus::Compensated } else { StepStatus::Skipped };
                assert_eq!(row.status, expected, "{step}: {row:?}");
                assert_eq!(row.error.is_some(), position == at, "the step that failed says why");
            }
            let ran = STEPS[..=at].iter().map(|step| format!("run {step}"));
            let undone = STEPS[..=at].iter().rev().map(|step| format!("undo {step}"));
            assert_eq!(world.calls(id).await, ran.chain(undone).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn an_outage_outlasts_all_tries_and_costs_none() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let outage = || vec![Act::Fail(Kind::ServiceUnavailable); 2 * usize::try_from(POLICY.attempts).unwrap()];
    let mut acts = outage();
    // All tries but one are still there after it.
    acts.extend(vec![Act::Fail(Kind::Upstream); usize::try_from(POLICY.attempts).unwrap() - 1]);
    acts.extend(outage());
    acts.extend(vec![Act::Fail(Kind::RateLimited); 2 * usize::try_from(POLICY.attempts).unwrap()]);
    let tries = i32::try_from(acts.len()).unwrap() + 1;
    world.script.next(id, "b", false, acts);
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, tries, 1]);
}

#[tokio::test]
async fn a_step_that_fails_too_often_is_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.always(id, "b", false, Act::FailAfter(Kind::Upstream));
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(told.saga.error.as_deref(), Some("b: UPSTREAM_ERROR: scripted"));
    assert_eq!(attempts(&told), [1, POLICY.attempts, 0]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run b", "run b", "undo b", "undo a"]);
}

#[tokio::test]
async fn a_step_that_hangs_is_cut_off_and_tried_again() {
    let world = World::new().await;
    let policy = Policy { timeout: Duration::from_millis(500), ..POLICY };
    let hasty = kind("hasty".to_owned());
    let engine = world.engine(|setup| setup.definitions = vec![definition(hasty, OnFailure::Undo, policy)]);
    let id = world.begin(hasty).await;
    world.script.next(id, "b", false, [Act::Sleep(Duration::from_secs(60))]);
    assert!(engine.turn().await.unwrap());
    let row = world.told(id).await.steps[1].clone();
    assert_eq!(row.error.as_deref(), Some("GATEWAY_TIMEOUT: it took longer than 0.5 s"));
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
}

#[tokio::test]
async fn a_step_that_panics_has_failed() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let once = world.begin(UNDO).await;
    world.script.next(once, "b", false, [Act::Panic]);
    let told = world.settle(&engine, once).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);

    let always = world.begin(UNDO).await;
    world.script.always(always, "b", false, Act::Panic);
    let told = world.settle(&engine, always).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(attempts(&told), [1, POLICY.attempts, 0]);
}

#[tokio::test]
async fn what_no_row_can_hold_does_not_stop_a_saga() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let message = world.begin(UNDO).await;
    world.script.next(message, "b", false, [Act::NulMessage]);
    let told = world.settle(&engine, message).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(told.saga.error.as_deref(), Some("b: UNPROCESSABLE: nul \u{fffd} nul"));

    let output = world.begin(UNDO).await;
    world.script.next(output, "b", false, [Act::NulOutput]);
    let told = world.settle(&engine, output).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
}

#[tokio::test]
async fn a_step_with_nothing_to_do_is_skipped_and_not_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "a", false, [Act::Skip]);
    world.script.next(id, "c", false, [Act::Fail(Kind::Unprocessable)]);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(statuses(&told), [StepStatus::Skipped, StepStatus::Compensated, StepStatus::Compensated]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c", "undo c", "undo b"]);
}

#[tokio::test]
async fn one_that_stops_on_failure_is_stuck_until_it_is_retried() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(STOP).await;
    assert!(!world.retry(id).await, "it is not stuck");
    world.script.always(id, "b", false, Act::Fail(Kind::Upstream));
    let told = world.settle(&engine, id).await;
    assert_eq!((told.saga.status, told.saga.cause), (SagaStatus::Stuck, None));
    assert_eq!(told.saga.error.as_deref(), Some("b: UPSTREAM_ERROR: scripted"));
    assert_eq!(statuses(&told), [StepStatus::Completed, StepStatus::Failed, StepStatus::Pending]);
    assert_eq!(attempts(&told), [1, POLICY.attempts, 0]);
    assert_eq!(world.effects(id).await, ["a"], "nothing is undone");
    assert!(told.saga.finished_at.is_some());
    assert!(!engine.turn().await.unwrap(), "nothing happens by itself");
    assert!(!world.ask_undo(id).await);

    world.script.heal(id, "b", false);
    world.script.next(id, "b", false, [Act::Fail(Kind::Upstream), Act::Fail(Kind::Upstream)]);
    assert!(world.retry(id).await);
    assert!(!world.retry(id).await, "it is under way again");
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 3, 1], "with all its tries before it");
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run a").count(), 1);
}

#[tokio::test]
async fn a_failure_that_a_test_interposes_counts_as_the_steps_own() {
    let world = World::new().await;
    let interpose = |now: Moment<'_>| match (now.step, now.point) {
        ("b", Point::AfterEffect) => Verdict::Fail(domain::Error::new(Kind::Unprocessable, "interposed")),
        _ => Verdict::Go,
    };
    let engine = world.engine(|setup| setup.hooks.interpose = Some(Arc::new(interpose)));
    let id = world.begin(STOP).await;
    let told = world.settle(&engine, id).await;
    assert_eq!((told.saga.status, world.effects(id).await.len()), (SagaStatus::Stuck, 2));
}

#[tokio::test]
async fn a_try_that_a_test_has_time_out_is_tried_again_whatever_came_of_it() {
    let world = World::new().await;
    let late = AtomicBool::new(false);
    let interpose = move |now: Moment<'_>| match (now.step, now.point) {
        ("b", Point::AfterIntent) if !late.swap(true, Ordering::SeqCst) => {
            Verdict::TimeOut(Duration::from_secs(1))
        }
        _ => Verdict::Go,
    };
    let engine = world.engine(|setup| setup.hooks.interpose = Some(Arc::new(interpose)));
    let id = world.begin(UNDO).await;
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
    assert_eq!(world.calls(id).await, ["run a", "run b", "run b", "run c"]);
}
