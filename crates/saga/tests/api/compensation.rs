//! The undo of sagas, with failures.

use std::sync::Arc;

use domain::Kind;
use saga::{Cause, Fault, InjectionPoint, SagaStatus, StepStatus};

use crate::{
    steps::{Act, POLICY, STEPS},
    world::{UNDO, World, statuses, undo_attempts},
};

#[tokio::test]
async fn undoing_every_step_twice_leaves_no_effect() {
    let world = World::new().await;
    let twice = |now: InjectionPoint<'_>| if now.undo { Fault::RunTwice } else { Fault::None };
    let engine = world.engine(|setup| setup.hooks.fault_injector = Some(Arc::new(twice)));
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(undo_attempts(&record), [1; 3]);
    let undone = &world.calls(id).await[3..];
    assert_eq!(undone, ["undo c", "undo c", "undo b", "undo b", "undo a", "undo a"]);
}

#[tokio::test]
async fn undo_is_retried_after_any_failure() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    for (at, step) in STEPS.iter().enumerate() {
        let id = world.begin(UNDO).await;
        world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
        world.script.next(id, step, true, [Act::Fail(Kind::Unprocessable), Act::FailAfter(Kind::Upstream)]);

        assert!(engine.run_once().await.unwrap());
        let record = world.load(id).await;
        assert_eq!((record.saga.status, record.saga.finished_at), (SagaStatus::Undoing, None));
        assert_eq!((record.steps[at].undo_attempts, record.steps[at].next_attempt_at.is_some()), (1, true));

        let record = world.settle(&engine, id).await;
        world.assert_undone(&record, Cause::Failed).await;
        assert_eq!(
            record.saga.error.as_deref(),
            Some("c: UNPROCESSABLE: scripted"),
            "the reason of the undo, not its own errors"
        );
        assert_eq!(undo_attempts(&record).iter().sum::<i32>(), 5);
        assert_eq!(record.steps[at].undo_attempts, 3);
        assert_eq!(record.steps[0].error, None, "the error of a retried undo is removed");
    }
}

#[tokio::test]
async fn outages_do_not_count_against_undo_attempts() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
    let longer = usize::try_from(POLICY.undo_attempts).unwrap() * 2;
    world.script.next(id, "b", true, vec![Act::Fail(Kind::ServiceUnavailable); longer]);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(undo_attempts(&record), [1, POLICY.undo_attempts * 2 + 1, 1]);
}

#[tokio::test]
async fn saga_whose_undo_fails_is_stuck_until_retried() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
    world.script.always(id, "b", true, Act::Fail(Kind::Upstream));
    let record = world.settle(&engine, id).await;
    assert_eq!((record.saga.status, record.saga.cause), (SagaStatus::Stuck, Some(Cause::Failed)));
    assert_eq!(statuses(&record), [StepStatus::Completed, StepStatus::Completed, StepStatus::Compensated]);
    assert_eq!(undo_attempts(&record), [0, POLICY.undo_attempts, 1]);
    assert_eq!(record.steps[1].error.as_deref(), Some("UPSTREAM_ERROR: scripted"));
    assert_eq!(world.effects(id).await, ["a", "b"]);
    assert!(!engine.run_once().await.unwrap(), "nothing happens by itself");
    assert!(!world.request_undo(id).await, "a stuck undo cannot be requested again");

    world.script.heal(id, "b", true);
    world.script.next(id, "b", true, [Act::Fail(Kind::Upstream), Act::Fail(Kind::Upstream)]);
    assert!(world.retry(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Failed).await;
    assert_eq!(statuses(&record), [StepStatus::Compensated; 3]);
    assert_eq!(undo_attempts(&record), [1, 3, 1], "attempts start again");
}

#[tokio::test]
async fn undo_attempts_are_counted_separately() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::Fail(Kind::Unprocessable)]);
    world.settle(&engine, id).await;
    let counted =
        world.texts("SELECT step || attempt AS text FROM calls WHERE call = 'undo' ORDER BY seq").await;
    assert_eq!(counted, ["c1", "b1", "a1"], "attempts to undo are counted separately");
    let outputs = world.load(id).await.steps;
    assert!(outputs[0].output.is_some() && outputs[2].output.is_none());
}
