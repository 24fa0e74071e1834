//! Many sagas, several engines.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use runtime::shutdown::Shutdown;

use crate::{
    steps::{Act, Gate},
    world::{UNDO, World},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_engines_share_sagas_without_repeating_steps() {
    const SAGAS: i64 = 200;
    let world = World::new().await;
    for _ in 0..SAGAS {
        world.begin(UNDO).await;
    }
    let stop = Shutdown::new();
    for name in ["first", "second"] {
        let engine = world.engine(|setup| {
            setup.name = name;
            // A low limit leaves work for both engines, however fast the first is.
            setup.settings.concurrency = 4;
            setup.own_connections = Some(world.db.app_url.clone());
        });
        engine.start(&stop);
    }
    let left = "SELECT count(*) AS number FROM sagas WHERE status <> 'completed'";
    let mut polls_left = 2000;
    while world.number(left).await > 0 {
        polls_left -= 1;
        assert!(
            polls_left > 0,
            "{:?}",
            world.texts("SELECT status || count(*) AS text FROM sagas GROUP BY status").await
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.begin();
    stop.drained().await;
    assert_eq!(world.number("SELECT count(*) AS number FROM effects").await, SAGAS * 3);
    assert_eq!(world.number("SELECT count(*) AS number FROM calls").await, SAGAS * 3, "each was called once");
    let distinct = "SELECT count(*) AS number FROM (SELECT DISTINCT saga_id, step FROM calls) each";
    assert_eq!(world.number(distinct).await, SAGAS * 3);
    for name in ["first", "second"] {
        let share = world.number(&format!("SELECT count(*) AS number FROM calls WHERE by = '{name}'")).await;
        // The exact share depends on the machine.
        assert!(share > 0, "{name} ran no step");
    }
}

#[tokio::test]
async fn saga_due_longest_is_claimed_first() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let mut ids = Vec::new();
    for since in [3, 1, 5, 2, 4] {
        let id = world.begin(UNDO).await;
        world
            .execute(&format!(
                "UPDATE sagas SET next_run_at = now() - interval '{since} min' WHERE id = '{id}'"
            ))
            .await;
        ids.push((since, id));
    }
    ids.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
    for (_, id) in ids {
        assert!(engine.run_once().await.unwrap());
        assert_eq!(world.calls(id).await.len(), 3);
    }
}

#[tokio::test]
async fn concurrency_limit_is_respected() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.concurrency = 3);
    let mut ids = Vec::new();
    for _ in 0..9 {
        let id = world.begin(UNDO).await;
        world.script.next(id, "a", false, [Act::Sleep(Duration::from_millis(100))]);
        ids.push(id);
    }
    let stop = Shutdown::new();
    engine.start(&stop);
    for id in ids {
        let record = world.wait_until_ended(id).await;
        world.assert_completed(&record).await;
    }
    assert_eq!(world.script.max_in_progress.load(Ordering::SeqCst), 3);
    stop.begin();
    stop.drained().await;
}

/// Sagas that never end do not block others.
#[tokio::test]
async fn waiting_sagas_do_not_occupy_slots() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.concurrency = 1);
    for _ in 0..10 {
        let id = world.begin(UNDO).await;
        world.script.always(id, "a", false, Act::Wait(Duration::from_millis(10)));
    }
    let stop = Shutdown::new();
    engine.start(&stop);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let id = world.begin(UNDO).await;
    Arc::clone(&world.wake).notify_one();
    let record = world.wait_until_ended(id).await;
    world.assert_completed(&record).await;
    stop.begin();
    stop.drained().await;
}

/// A key with many sagas delays the others by one saga, not by all of them.
#[tokio::test]
async fn fairness_keys_take_turns() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let mut ids = Vec::new();
    for fairness_key in ["b", "b", "b", "b", "c", "a", "c"] {
        ids.push((fairness_key, world.begin_with_key(UNDO, fairness_key).await));
    }
    while engine.run_once().await.unwrap() {}
    let order = "SELECT saga_id::text AS text FROM calls WHERE call = 'run' AND step = 'a' ORDER BY seq";
    let key_of = |id: &String| ids.iter().find(|(_, one)| one.to_string() == *id).unwrap().0;
    let order: Vec<_> = world.texts(order).await.iter().map(key_of).collect();
    assert_eq!(order, ["a", "b", "c", "b", "c", "b", "b"]);
}

/// The keys also share the sagas of one claim.
#[tokio::test]
async fn fairness_keys_share_each_batch() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.concurrency = 4);
    for _ in 0..30 {
        world.begin_with_key(UNDO, "busy").await;
    }
    let quiet = [world.begin_with_key(UNDO, "quiet").await, world.begin_with_key(UNDO, "rare").await];
    let stop = Shutdown::new();
    engine.start(&stop);
    for id in quiet {
        world.wait_until_ended(id).await;
    }
    let started = world
        .number("SELECT count(*) AS number FROM sagas WHERE flow = 'busy' AND status <> 'pending'")
        .await;
    assert!(started < 20, "{started} sagas of the busy key came first");
    stop.begin();
    stop.drained().await;
}

/// A saga with a slow step does not block others.
#[tokio::test]
async fn slow_saga_frees_its_slot() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.concurrency = 1);
    let (slow, quick) = (world.begin(UNDO).await, world.begin(UNDO).await);
    let gate = Arc::new(Gate::default());
    world.script.next(slow, "a", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    engine.start(&stop);
    let record = world.wait_until_ended(quick).await;
    world.assert_completed(&record).await;
    assert!(world.load(slow).await.saga.status.is_in_progress());
    gate.open.notify_one();
    let record = world.wait_until_ended(slow).await;
    world.assert_completed(&record).await;
    assert_eq!(world.calls(slow).await.len(), 3, "it did not start again");
    stop.begin();
    stop.drained().await;
}
