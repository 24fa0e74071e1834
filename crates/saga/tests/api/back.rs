//! Going back: undoing, with failures.

use std::sync::Arc;

use domain::Kind;
use saga::{Cause, Moment, SagaStatus, StepStatus, Verdict};

use crate::{
    steps::{Act, POLICY, STEPS},
    world::{UNDO, World, statuses, undo_attempts},
};

#[tokio::test]
async fn every_undoing_twice_leaves_nothing_and_fails_nothing() {
    let world = World::new().await;
    let twice = |now: Moment<'_>| if now.undo { Verdict::Twice } else { Verdict::Go };
    let engine = world.engine(|setup| setup.hooks.interpose = Some(Arc::new(twice)));
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(undo_attempts(&told), [1; 3]);
    let undone = &world.calls(id).await[3..];
    assert_eq!(undone, ["undo c", "undo c", "undo b", "undo b", "undo a", "undo a"]);
}

#[tokio::test]
async fn undoing_any_step_is_tried_again_whatever_the_failure() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    for (at, step) in STEPS.iter().enumerate() {
        let id = world.begin(UNDO).await;
        world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
        world.script.next(id, step, true, [Act::Fail(Kind::Unprocessable), Act::FailAfter(Kind::Upstream)]);

        assert!(engine.turn().await.unwrap());
        let told = world.told(id).await;
        assert_eq!((told.saga.status, told.saga.finished_at), (SagaStatus::Undoing, None));
        assert_eq!((told.steps[at].undo_attempts, told.steps[at].next_attempt_at.is_some()), (1, true));

        let told = world.settle(&engine, id).await;
        world.assert_undone(&told, Cause::Failed).await;
        assert_eq!(
            told.saga.error.as_deref(),
            Some("c: UNPROCESSABLE: scripted"),
            "why it is undone, not how"
        );
        assert_eq!(undo_attempts(&told).iter().sum::<i32>(), 5);
        assert_eq!(told.steps[at].undo_attempts, 3);
        assert_eq!(told.steps[0].error, None, "no one reads of a failure that was got over");
    }
}

#[tokio::test]
async fn an_outage_does_not_leave_what_is_to_be_undone() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
    let longer = usize::try_from(POLICY.undo_attempts).unwrap() * 2;
    world.script.next(id, "b", true, vec![Act::Fail(Kind::ServiceUnavailable); longer]);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(undo_attempts(&told), [1, POLICY.undo_attempts * 2 + 1, 1]);
}

#[tokio::test]
async fn what_cannot_be_undone_is_stuck_until_it_is_retried() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::FailAfter(Kind::Unprocessable)]);
    world.script.always(id, "b", true, Act::Fail(Kind::Upstream));
    let told = world.settle(&engine, id).await;
    assert_eq!((told.saga.status, told.saga.cause), (SagaStatus::Stuck, Some(Cause::Failed)));
    assert_eq!(statuses(&told), [StepStatus::Completed, StepStatus::Completed, StepStatus::Compensated]);
    assert_eq!(undo_attempts(&told), [0, POLICY.undo_attempts, 1]);
    assert_eq!(told.steps[1].error.as_deref(), Some("UPSTREAM_ERROR: scripted"));
    assert_eq!(world.effects(id).await, ["a", "b"]);
    assert!(!engine.turn().await.unwrap(), "nothing happens by itself");
    assert!(!world.ask_undo(id).await, "that is what it cannot do");

    world.script.heal(id, "b", true);
    world.script.next(id, "b", true, [Act::Fail(Kind::Upstream), Act::Fail(Kind::Upstream)]);
    assert!(world.retry(id).await);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, Cause::Failed).await;
    assert_eq!(statuses(&told), [StepStatus::Compensated; 3]);
    assert_eq!(undo_attempts(&told), [1, 3, 1], "with all its tries before it");
}

#[tokio::test]
async fn undoing_knows_why_and_what_was_done() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "c", false, [Act::Fail(Kind::Unprocessable)]);
    world.settle(&engine, id).await;
    let counted =
        world.texts("SELECT step || attempt AS text FROM calls WHERE call = 'undo' ORDER BY seq").await;
    assert_eq!(counted, ["c1", "b1", "a1"], "an undoing's attempts are its own");
    let outputs = world.told(id).await.steps;
    assert!(outputs[0].output.is_some() && outputs[2].output.is_none());
}
