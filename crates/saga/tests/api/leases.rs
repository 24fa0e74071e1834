//! Lost leases, cut connections and stopping processes.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use diesel_async::SimpleAsyncConnection;
use runtime::shutdown::Shutdown;
use saga::{OnFailure, SagaStatus, StepStatus};
use tokio::time::Instant;

use crate::{
    proxy::Proxy,
    steps::{Act, Gate, POLICY, definition},
    world::{UNDO, World, attempts, kind},
};

/// The first runner resumes after another has taken over, before it notices the loss of its lease.
#[tokio::test]
async fn late_write_of_a_suspended_runner_is_rejected() {
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
        let record = world.settle(&second, id).await;
        gate.open.notify_one();
        record
    };
    let (run, taken_over) = tokio::join!(first.run_once(), taken_over);
    assert!(run.unwrap());
    world.assert_completed(&taken_over).await;
    let record = world.load(id).await;
    assert_eq!(format!("{record:?}"), format!("{taken_over:?}"), "the late write changed nothing");
    assert_eq!(attempts(&record), [1, 2, 1]);
    assert_eq!(record.steps[1].output.as_ref().unwrap()["by"], "second");
    assert_eq!(
        world.calls(id).await,
        ["run a", "run b", "run b", "run c"],
        "the first runner ran no further step"
    );
}

/// The runner loses its lease before it writes the start of the next step.
#[tokio::test]
async fn step_does_not_start_under_a_lost_lease() {
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
    let (run, ()) = tokio::join!(engine.run_once(), taken);
    assert!(run.unwrap());
    assert_eq!(world.calls(id).await, ["run a"]);
    assert_eq!(world.load(id).await.steps[0].status, StepStatus::InProgress);
}

/// The runner notices the loss when it extends its lease, long before its step would end.
#[tokio::test]
async fn runner_that_was_taken_over_aborts_its_step() {
    let world = World::new().await;
    let lease = Duration::from_secs(3);
    let engine = world.engine(|setup| setup.settings.lease = lease);
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let start = Instant::now();
    let taken = async {
        gate.reached.notified().await;
        world.execute(&format!("UPDATE sagas SET fence = fence + 1 WHERE id = '{id}'")).await;
    };
    let (run, ()) = tokio::join!(engine.run_once(), taken);
    assert!(run.unwrap());
    assert!(start.elapsed() < lease, "{:?}", start.elapsed());
    assert_eq!(world.script.cut.load(Ordering::SeqCst), 1);
}

/// A runner that cannot extend its lease stops before another may take over.
#[tokio::test]
async fn runner_that_cannot_extend_its_lease_aborts_its_step() {
    const LEASE: Duration = Duration::from_millis(300);
    let world = World::new().await;
    let first = world.engine(|setup| setup.settings.lease = LEASE);
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let mut holder = world.db.connect().await;
    let lock_row = async {
        gate.reached.notified().await;
        let lock = format!("BEGIN; SELECT 1 FROM sagas WHERE id = '{id}' FOR UPDATE");
        holder.batch_execute(&lock).await.unwrap();
        Instant::now()
    };
    let (run, locked_at) = tokio::join!(first.run_once(), lock_row);
    assert!(run.unwrap());
    // A step may take ten seconds.
    assert!(locked_at.elapsed() < LEASE * 10, "{:?}", locked_at.elapsed());
    assert_eq!(world.script.cut.load(Ordering::SeqCst), 1, "the step was cut off");
    holder.batch_execute("COMMIT").await.unwrap();

    let second = world.engine(|setup| setup.name = "second");
    let record = world.settle(&second, id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
}

/// The runner extends its lease for as long as the step runs.
#[tokio::test]
async fn lease_is_extended_during_a_long_step() {
    let world = World::new().await;
    let first = world.engine(|setup| setup.settings.lease = Duration::from_millis(600));
    let second = world.engine(|setup| setup.name = "second");
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Sleep(Duration::from_millis(1500))]);
    let watch = async {
        world.until(id, |record| record.steps[1].status == StepStatus::InProgress).await;
        while world.load(id).await.steps[1].status == StepStatus::InProgress {
            assert!(!second.run_once().await.unwrap(), "taken over from a runner that is alive");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (run, ()) = tokio::join!(first.run_once(), watch);
    assert!(run.unwrap());
    let record = world.wait_until_ended(id).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"]);
}

/// A statement that the runner sent before the release, such as an extension of the lease, and that the database
/// executes afterwards, changes nothing.
#[tokio::test]
async fn release_increases_the_fence() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "a", false, [Act::Wait(Duration::from_secs(600))]);
    assert!(engine.run_once().await.unwrap());
    let fence = format!("SELECT fence AS number FROM sagas WHERE id = '{id}'");
    assert_eq!(world.number(&fence).await, 2, "claimed and released");
    assert!(world.request_undo(id).await);
    assert!(engine.run_once().await.unwrap());
    assert_eq!(world.number(&fence).await, 4);
}

/// The network drops data and closes no connection.
#[tokio::test]
async fn statement_without_a_response_is_resent_on_another_connection() {
    let world = World::new().await;
    let proxy = Proxy::to(&world.db.app_url).await;
    let engine = world.engine(|setup| {
        setup.settings.lease = Duration::from_millis(500);
        setup.own_connections = Some(proxy.url.clone());
        // If the dead connection returned to the pool, every other statement would use it.
        setup.connections = 1;
    });
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    engine.start(&stop);
    gate.reached.notified().await;
    proxy.swallow();
    gate.open.notify_one();
    let record = world.wait_until_ended(id).await;
    world.assert_completed(&record).await;
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn cut_connections_lose_neither_effects_nor_leases() {
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
    // The connections of the test itself were cut too.
    while world.pool.service_conn().await.unwrap().batch_execute("SELECT 1").await.is_err() {}
    for id in ids {
        let record = world.wait_until_ended(id).await;
        world.assert_completed(&record).await;
    }
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn stopping_process_finishes_its_step_and_releases_the_saga() {
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
    assert!(!second.run_once().await.unwrap(), "the first process still holds it");
    gate.open.notify_one();
    stop.drained().await;

    let record = world.load(id).await;
    assert_eq!((record.saga.status, &record.saga.lease_owner), (SagaStatus::Running, &None));
    assert_eq!(record.steps[1].status, StepStatus::Completed, "the running step was finished");
    assert!(second.run_once().await.unwrap(), "it need not wait for the lease to expire");
    let record = world.load(id).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(id).await, ["run a", "run b", "run c"]);
}

#[tokio::test]
async fn stopping_process_aborts_a_hanging_step() {
    let world = World::new().await;
    let first = world.engine(|setup| setup.settings.lease = Duration::from_millis(800));
    let second = world.engine(|setup| setup.name = "second");
    let id = world.begin(UNDO).await;
    let gate = Arc::new(Gate::default());
    world.script.next(id, "b", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    first.start(&stop);
    gate.reached.notified().await;
    let start = Instant::now();
    stop.begin();
    stop.drained().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(world.script.cut.load(Ordering::SeqCst), 1);
    assert!(second.run_once().await.unwrap(), "it need not wait for the lease to expire");
    let record = world.load(id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
}

/// Old and new processes run together during an upgrade.
#[tokio::test]
async fn saga_of_an_unknown_version_is_skipped() {
    let world = World::new().await;
    let old = world.engine(|setup| {
        setup.definitions = vec![definition(kind("old".to_owned()), OnFailure::Undo, POLICY)]
    });
    let new = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    assert!(!old.run_once().await.unwrap());
    assert!(new.run_once().await.unwrap(), "the old engine did not postpone it");
    let record = world.load(id).await;
    world.assert_completed(&record).await;
}

/// An error of the engine itself, here a definition that changed without a new version, leaves no lease.
#[tokio::test]
async fn saga_that_the_engine_cannot_run_is_postponed() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world
        .execute(&format!("UPDATE saga_steps SET name = 'renamed' WHERE saga_id = '{id}' AND position = 1"))
        .await;
    assert!(engine.run_once().await.unwrap());
    let saga = world.load(id).await.saga;
    assert_eq!((saga.status, &saga.lease_owner, saga.lease_until), (SagaStatus::Pending, &None, None));
    assert!(!engine.run_once().await.unwrap(), "it does not run again at once");
    let fence = format!("SELECT fence AS number FROM sagas WHERE id = '{id}'");
    assert_eq!(world.number(&fence).await, 2, "claimed and released");
    world.execute(&format!("UPDATE saga_steps SET name = 'b' WHERE saga_id = '{id}' AND position = 1; UPDATE sagas SET next_run_at = now()")).await;
    let record = world.settle(&engine, id).await;
    world.assert_completed(&record).await;
}
