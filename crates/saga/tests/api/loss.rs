//! Leases that are lost, connections that are cut, processes that stop.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use diesel_async::SimpleAsyncConnection;
use runtime::shutdown::Shutdown;
use saga::{OnFailure, SagaStatus, StepStatus};
use tokio::time::Instant;

use crate::{
    steps::{Act, Gate, POLICY, definition},
    wire::Wire,
    world::{UNDO, World, attempts, kind},
};

/// Another runner has taken over, and the first wakes up before it has noticed.
#[tokio::test]
async fn the_late_write_of_a_frozen_runner_is_refused() {
    let world = World::new().await;
    let (first, second) = (world.engine(|_| {}), world.engine(|setup| setup.name = "second"));
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let taken_over = async {
        gate.reached.notified().await;
        world
            .execute(&format!("UPDATE sagas SET lease_until = now() - interval '1 s' WHERE id = '{id}'"))
            .await;
        let told = world.settle(&second, id).await;
        gate.open.notify_one();
        told
    };
    let (turn, taken_over) = tokio::join!(first.turn(), taken_over);
    assert!(turn.unwrap());
    world.assert_completed(&taken_over).await;
    let told = world.told(id).await;
    assert_eq!(format!("{told:?}"), format!("{taken_over:?}"), "nothing was written late");
    assert_eq!(attempts(&told), [1, 2, 1]);
    assert_eq!(told.steps[1].output.as_ref().unwrap()["by"], "second");
    assert_eq!(world.calls(id).await, ["run a", "run b", "run b", "run c"], "the first went no further");
}

/// The same one statement later: what it would do next is not even begun.
#[tokio::test]
async fn a_step_does_not_begin_under_a_lost_lease() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "a", false, [Act::Gate(Arc::clone(&gate))]);
    let taken = async {
        gate.reached.notified().await;
        world.execute(&format!("UPDATE sagas SET fence = fence + 1 WHERE id = '{id}'")).await;
        gate.open.notify_one();
    };
    let (turn, ()) = tokio::join!(engine.turn(), taken);
    assert!(turn.unwrap());
    assert_eq!(world.calls(id).await, ["run a"]);
    assert_eq!(world.told(id).await.steps[0].status, StepStatus::InProgress);
}

/// A runner that learns of it when it extends its lease, long before its step is over, does not go on with the step.
#[tokio::test]
async fn a_runner_that_was_succeeded_drops_its_step() {
    let world = World::new().await;
    let lease = Duration::from_secs(3);
    let engine = world.engine(|setup| setup.settings.lease = lease);
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let begun = Instant::now();
    let taken = async {
        gate.reached.notified().await;
        world.execute(&format!("UPDATE sagas SET fence = fence + 1 WHERE id = '{id}'")).await;
    };
    let (turn, ()) = tokio::join!(engine.turn(), taken);
    assert!(turn.unwrap());
    assert!(begun.elapsed() < lease, "{:?}", begun.elapsed());
    assert_eq!(world.script.cut.load(Ordering::SeqCst), 1);
}

/// A runner that cannot extend its lease stops before another may begin.
#[tokio::test]
async fn a_runner_that_cannot_keep_its_lease_drops_its_step() {
    const LEASE: Duration = Duration::from_millis(300);
    let world = World::new().await;
    let first = world.engine(|setup| setup.settings.lease = LEASE);
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let mut holder = world.db.connect().await;
    let held = async {
        gate.reached.notified().await;
        let lock = format!("BEGIN; SELECT 1 FROM sagas WHERE id = '{id}' FOR UPDATE");
        holder.batch_execute(&lock).await.unwrap();
        Instant::now()
    };
    let (turn, held_since) = tokio::join!(first.turn(), held);
    assert!(turn.unwrap());
    // A step may take ten seconds.
    assert!(held_since.elapsed() < LEASE * 10, "{:?}", held_since.elapsed());
    assert_eq!(world.script.cut.load(Ordering::SeqCst), 1, "the step was cut off");
    holder.batch_execute("COMMIT").await.unwrap();

    let second = world.engine(|setup| setup.name = "second");
    let told = world.settle(&second, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
}

/// A lease is kept for as long as a step takes.
#[tokio::test]
async fn a_step_may_take_longer_than_the_lease() {
    let world = World::new().await;
    let first = world.engine(|setup| setup.settings.lease = Duration::from_millis(600));
    let second = world.engine(|setup| setup.name = "second");
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Sleep(Duration::from_millis(1500))]);
    let watch = async {
        world.until(id, |told| told.steps[1].status == StepStatus::InProgress).await;
        while world.told(id).await.steps[1].status == StepStatus::InProgress {
            assert!(!second.turn().await.unwrap(), "taken from a runner that is alive");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (turn, ()) = tokio::join!(first.turn(), watch);
    assert!(turn.unwrap());
    let told = world.at_rest(id).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"]);
}

/// The fence grows when a saga is let go of as well: what its runner sent before, and the database comes to only
/// afterwards, such as an extension of the lease, changes nothing.
#[tokio::test]
async fn a_runner_that_let_go_holds_no_longer() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "a", false, [Act::Wait(Duration::from_secs(600))]);
    assert!(engine.turn().await.unwrap());
    let fence = format!("SELECT fence AS number FROM sagas WHERE id = '{id}'");
    assert_eq!(world.number(&fence).await, 2, "claimed, and let go");
    assert!(world.ask_undo(id).await);
    assert!(engine.turn().await.unwrap());
    assert_eq!(world.number(&fence).await, 4);
}

/// The network swallows what is sent, and closes nothing.
#[tokio::test]
async fn a_statement_that_is_never_answered_is_sent_again_on_another_connection() {
    let world = World::new().await;
    let wire = Wire::to(&world.db.app_url).await;
    let engine = world.engine(|setup| {
        setup.settings.lease = Duration::from_millis(500);
        setup.own_connections = Some(wire.url.clone());
        // Given back, it would be what every other statement is sent over.
        setup.connections = 1;
    });
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    engine.start(&stop);
    gate.reached.notified().await;
    wire.swallow();
    gate.open.notify_one();
    let told = world.at_rest(id).await;
    world.assert_completed(&told).await;
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn cut_connections_cost_neither_an_effect_nor_a_lease() {
    let world = World::new().await;
    let tough = kind("tough".to_owned());
    let policy = saga::Policy { attempts: 50, ..POLICY };
    let engine = world.engine(|setup| {
        setup.settings.lease = Duration::from_secs(2);
        setup.definitions = vec![definition(tough, OnFailure::Undo, policy)];
    });
    let mut ids = Vec::new();
    for _ in 0..24 {
        let id = world.begin(tough).await;
        for step in crate::steps::STEPS {
            world.script.next(id, step, false, [Act::Sleep(Duration::from_millis(25))]);
        }
        ids.push(id);
    }
    let stop = Shutdown::new();
    engine.start(&stop);
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.db.cut_connections().await;
    }
    // The pool of the test itself was cut as well.
    while world.pool.service_conn().await.unwrap().batch_execute("SELECT 1").await.is_err() {}
    for id in ids {
        let told = world.at_rest(id).await;
        world.assert_completed(&told).await;
    }
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn a_process_that_stops_ends_its_step_and_hands_the_saga_on() {
    let world = World::new().await;
    let (first, second) = (world.engine(|_| {}), world.engine(|setup| setup.name = "second"));
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    first.start(&stop);
    gate.reached.notified().await;
    stop.begin();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!second.turn().await.unwrap(), "it is still at it");
    gate.open.notify_one();
    stop.drained().await;

    let told = world.told(id).await;
    assert_eq!((told.saga.status, &told.saga.lease_owner), (SagaStatus::Running, &None));
    assert_eq!(told.steps[1].status, StepStatus::Completed, "what it had begun it brought to its end");
    assert!(second.turn().await.unwrap(), "no lease has to run out");
    let told = world.told(id).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"]);
}

#[tokio::test]
async fn a_step_that_does_not_end_is_cut_off_when_the_process_stops() {
    let world = World::new().await;
    let first = world.engine(|setup| setup.settings.lease = Duration::from_millis(800));
    let second = world.engine(|setup| setup.name = "second");
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    first.start(&stop);
    gate.reached.notified().await;
    let begun = Instant::now();
    stop.begin();
    stop.drained().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(world.script.cut.load(Ordering::SeqCst), 1);
    assert!(second.turn().await.unwrap(), "no lease has to run out");
    let told = world.told(id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
}

/// While versions are exchanged, old processes and new ones run side by side.
#[tokio::test]
async fn a_saga_of_another_version_is_left_to_those_who_know_it() {
    let world = World::new().await;
    let old = world.engine(|setup| {
        setup.definitions = vec![definition(kind("old".to_owned()), OnFailure::Undo, POLICY)]
    });
    let new = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    assert!(!old.turn().await.unwrap());
    assert!(new.turn().await.unwrap(), "no one has put it off");
    let told = world.told(id).await;
    world.assert_completed(&told).await;
}

/// A fault of the engine's own, here a definition that was changed without a new version, leaves no lease behind.
#[tokio::test]
async fn a_saga_that_cannot_be_driven_is_put_off() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world
        .execute(&format!("UPDATE saga_steps SET name = 'renamed' WHERE saga_id = '{id}' AND position = 1"))
        .await;
    assert!(engine.turn().await.unwrap());
    let saga = world.told(id).await.saga;
    assert_eq!((saga.status, &saga.lease_owner, saga.lease_until), (SagaStatus::Pending, &None, None));
    assert!(!engine.turn().await.unwrap(), "it is not run again at once");
    let fence = format!("SELECT fence AS number FROM sagas WHERE id = '{id}'");
    assert_eq!(world.number(&fence).await, 2, "claimed, and let go");
    world.execute(&format!("UPDATE saga_steps SET name = 'b' WHERE saga_id = '{id}' AND position = 1; UPDATE sagas SET next_run_at = now()")).await;
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
}
