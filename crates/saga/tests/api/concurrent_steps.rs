//! Independent steps: b and c, both after a.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::Kind;
use saga::{Cause, Engine, OnFailure, SagaStatus, StepStatus};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    steps::{Act, App, Gate, POLICY, fan_out},
    world::{World, statuses},
};

const KIND: &str = "fan-out";

async fn setup(on_failure: OnFailure) -> (World, Engine<App>, Uuid) {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.definitions = vec![fan_out(KIND, on_failure, POLICY)]);
    let id = world.begin(KIND).await;
    (world, engine, id)
}

/// Adds a gate to each of the steps.
fn gates<const N: usize>(world: &World, id: Uuid, undo: bool, steps: [&'static str; N]) -> [Arc<Gate>; N] {
    steps.map(|step| {
        let gate = Arc::new(Gate::default());
        world.script.next(id, step, undo, [Act::Gate(Arc::clone(&gate))]);
        gate
    })
}

#[tokio::test]
async fn independent_steps_run_and_are_undone_concurrently() {
    let (world, engine, id) = setup(OnFailure::Undo).await;
    for undo in [false, true] {
        let [b, c] = gates(&world, id, undo, ["b", "c"]);
        let both = async {
            b.reached.notified().await;
            c.reached.notified().await;
            let expected = if undo { StepStatus::Completed } else { StepStatus::InProgress };
            let record = world.load(id).await;
            assert_eq!(statuses(&record), [StepStatus::Completed, expected, expected]);
            c.open.notify_one();
            b.open.notify_one();
        };
        tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, both);
        let record = world.load(id).await;
        if undo {
            world.assert_undone(&record, Cause::Cancelled).await;
        } else {
            world.assert_completed(&record).await;
            assert_eq!(world.script.max_in_progress.load(Ordering::SeqCst), 2);
            assert!(world.request_undo(id).await);
        }
    }
    let calls = world.calls(id).await;
    assert_eq!((calls.first().unwrap().as_str(), calls.last().unwrap().as_str()), ("run a", "undo a"));
    assert_eq!(calls.len(), 6, "no step ran twice: {calls:?}");
}

/// Waits and retries of one step neither block the other nor get lost.
#[tokio::test]
async fn waiting_step_runs_again_while_another_is_in_progress() {
    let (world, engine, id) = setup(OnFailure::Undo).await;
    world.script.next(id, "b", false, (0..3).map(|_| Act::Wait(Duration::from_millis(30))));
    world.script.next(id, "b", false, [Act::Fail(Kind::Upstream)]);
    let [c] = gates(&world, id, false, ["c"]);
    let request = async {
        world.until(id, |record| record.steps[1].status == StepStatus::Completed).await;
        assert_eq!(world.load(id).await.steps[2].status, StepStatus::InProgress);
        c.open.notify_one();
    };
    tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, request);
    world.assert_completed(&world.load(id).await).await;
    let calls = world.calls(id).await;
    assert_eq!(calls.iter().filter(|call| *call == "run b").count(), 5, "{calls:?}");
}

/// The engine releases the saga during long waits. The step that is due first runs next, and the other keeps its pause.
#[tokio::test]
async fn saga_is_released_while_all_steps_wait() {
    let (world, engine, id) = setup(OnFailure::Undo).await;
    world.script.next(id, "b", false, [Act::Wait(Duration::from_secs(600))]);
    world.script.next(
        id,
        "c",
        false,
        [Act::Wait(Duration::from_secs(60)), Act::Wait(Duration::from_secs(61))],
    );
    assert!(engine.run_once().await.unwrap());
    let record = world.load(id).await;
    assert!(record.saga.lease_until.is_none());
    let pause = (record.saga.next_run_at - record.saga.updated_at).num_seconds();
    assert!((55..=60).contains(&pause), "{pause} s until the first is due");
    assert!(world.resume_now(id).await);
    assert!(engine.run_once().await.unwrap());
    assert_eq!(world.calls(id).await.len(), 4, "a, b, c, and the step that was due first");
    assert_eq!(world.calls(id).await[3], "run c");
}

#[tokio::test]
async fn undo_waits_for_steps_in_progress() {
    let (world, engine, id) = setup(OnFailure::Undo).await;
    world.script.next(id, "b", false, [Act::FailAfter(Kind::Unprocessable)]);
    let [c] = gates(&world, id, false, ["c"]);
    let failed = async {
        c.reached.notified().await;
        world.until(id, |record| record.steps[1].status == StepStatus::Failed).await;
        // The saga is read before its steps, so only this read is sure to see its status after the failure.
        let record = world.load(id).await;
        assert_eq!(record.saga.status, SagaStatus::Undoing, "a runner that takes over does not go forward");
        assert_eq!(world.calls(id).await.len(), 3, "nothing is undone while a step is in progress");
        c.open.notify_one();
    };
    tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, failed);
    world.assert_undone(&world.load(id).await, Cause::Failed).await;
}

#[tokio::test]
async fn stuck_step_lets_concurrent_steps_finish() {
    let (world, engine, id) = setup(OnFailure::Stop).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Unprocessable)]);
    let [c] = gates(&world, id, false, ["c"]);
    let failed = async {
        world.until(id, |record| record.steps[1].status == StepStatus::Failed).await;
        c.open.notify_one();
    };
    tokio::join!(async { assert!(engine.run_once().await.unwrap()) }, failed);
    let record = world.load(id).await;
    assert_eq!(record.saga.status, SagaStatus::Stuck);
    assert_eq!(statuses(&record), [StepStatus::Completed, StepStatus::Failed, StepStatus::Completed]);
    assert!(world.retry(id).await);
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(id).await.iter().filter(|call| *call == "run c").count(), 1);
}

/// The deadline applies while one step waits and the other is in progress.
#[tokio::test]
async fn deadline_applies_while_steps_run_and_wait() {
    let (world, engine, _) = setup(OnFailure::Undo).await;
    let id =
        world.begin_with_deadline(KIND, runtime::clock::now() + chrono::Duration::milliseconds(300)).await;
    world.script.next(id, "b", false, [Act::Wait(Duration::from_secs(600))]);
    world.script.next(id, "c", false, [Act::Sleep(Duration::from_millis(100))]);
    let start = Instant::now();
    let record = world.settle(&engine, id).await;
    world.assert_undone(&record, Cause::Expired).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
