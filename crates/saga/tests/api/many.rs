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
async fn two_engines_share_the_work_and_do_nothing_twice() {
    const SAGAS: i64 = 200;
    let world = World::new().await;
    for _ in 0..SAGAS {
        world.begin(UNDO).await;
    }
    let stop = Shutdown::new();
    for name in ["first", "second"] {
        let engine = world.engine(|setup| {
            setup.name = name;
            // Both begin, however quick the first is.
            setup.settings.concurrency = 4;
            setup.own_connections = Some(world.db.app_url.clone());
        });
        engine.start(&stop);
    }
    let left = "SELECT count(*) AS number FROM sagas WHERE status <> 'completed'";
    let mut patience = 2000;
    while world.number(left).await > 0 {
        patience -= 1;
        assert!(
            patience > 0,
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
        // How much is up to the machine.
        assert!(share > 0, "{name} did none");
    }
}

#[tokio::test]
async fn the_longest_due_comes_first() {
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
        assert!(engine.turn().await.unwrap());
        assert_eq!(world.calls(id).await.len(), 3);
    }
}

#[tokio::test]
async fn as_many_run_side_by_side_as_are_allowed() {
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
        let told = world.at_rest(id).await;
        world.assert_completed(&told).await;
    }
    assert_eq!(world.script.most_under_way.load(Ordering::SeqCst), 3);
    stop.begin();
    stop.drained().await;
}

/// A saga that never comes to its end keeps none of the others from theirs.
#[tokio::test]
async fn those_that_wait_hold_up_no_other() {
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
    let told = world.at_rest(id).await;
    world.assert_completed(&told).await;
    stop.begin();
    stop.drained().await;
}

/// Who asks for much has the others wait for one saga of theirs, not for all.
#[tokio::test]
async fn flows_take_turns() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let mut ids = Vec::new();
    for flow in ["b", "b", "b", "b", "c", "a", "c"] {
        ids.push((flow, world.begin_of(UNDO, flow).await));
    }
    while engine.turn().await.unwrap() {}
    let order = "SELECT saga_id::text AS text FROM calls WHERE call = 'run' AND step = 'a' ORDER BY seq";
    let flow_of = |id: &String| ids.iter().find(|(_, one)| one.to_string() == *id).unwrap().0;
    let order: Vec<_> = world.texts(order).await.iter().map(flow_of).collect();
    assert_eq!(order, ["a", "b", "c", "b", "c", "b", "b"]);
}

/// The same of those that are claimed at once.
#[tokio::test]
async fn flows_share_what_is_claimed_at_once() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.concurrency = 4);
    for _ in 0..30 {
        world.begin_of(UNDO, "busy").await;
    }
    let quiet = [world.begin_of(UNDO, "quiet").await, world.begin_of(UNDO, "rare").await];
    let stop = Shutdown::new();
    engine.start(&stop);
    for id in quiet {
        world.at_rest(id).await;
    }
    let begun = world
        .number("SELECT count(*) AS number FROM sagas WHERE flow = 'busy' AND status <> 'pending'")
        .await;
    assert!(begun < 20, "{begun} of the busy one had to come first");
    stop.begin();
    stop.drained().await;
}

/// A saga whose step takes long keeps none of the others from theirs.
#[tokio::test]
async fn one_that_is_slow_gives_its_slot_away() {
    let world = World::new().await;
    let engine = world.engine(|setup| setup.settings.concurrency = 1);
    let (slow, quick) = (world.begin(UNDO).await, world.begin(UNDO).await);
    let gate = Arc::new(Gate::default());
    world.script.next(slow, "a", false, [Act::Gate(Arc::clone(&gate))]);
    let stop = Shutdown::new();
    engine.start(&stop);
    let told = world.at_rest(quick).await;
    world.assert_completed(&told).await;
    assert!(world.told(slow).await.saga.status.is_in_progress());
    gate.open.notify_one();
    let told = world.at_rest(slow).await;
    world.assert_completed(&told).await;
    assert_eq!(world.calls(slow).await.len(), 3, "it was not begun again");
    stop.begin();
    stop.drained().await;
}
