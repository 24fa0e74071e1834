//! Processes whose clocks differ from that of the database, and peers that refuse a signature for a while.

use std::time::Duration;

use domain::Kind;
use runtime::shutdown::Shutdown;
use tokio::time::Instant;

use crate::{
    steps::{Act, POLICY},
    world::{STOP, UNDO, World, attempts},
};

/// Ahead of the processes, and behind them.
const SKEWS: [&str; 2] = ["1 hour", "-1 hour"];

#[tokio::test]
async fn a_saga_begins_at_once_when_the_clock_of_its_process_differs() {
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let id = world.begin(UNDO).await;
        assert!(world.engine(|_| {}).turn().await.unwrap(), "it is not due, with a database {skew} off");
        let told = world.told(id).await;
        world.assert_completed(&told).await;
    }
}

#[tokio::test]
async fn pauses_last_as_long_as_they_should_when_clocks_differ() {
    const PAUSE: Duration = Duration::from_millis(200);
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let engine = world.engine(|_| {});
        let id = world.begin(STOP).await;
        world.script.next(id, "b", false, [Act::Fail(Kind::Upstream), Act::Wait(PAUSE), Act::Wait(PAUSE)]);
        let begun = Instant::now();
        let told = world.settle(&engine, id).await;
        world.assert_completed(&told).await;
        let took = begun.elapsed();
        assert!(took >= PAUSE * 2, "it asked too soon, with a database {skew} off: {took:?}");
    }
}

/// Of two steps that run alongside each other, one is tried again after a claim by a process with another clock.
#[tokio::test]
async fn steps_side_by_side_are_tried_again_in_time_when_clocks_differ() {
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let definitions = || vec![crate::steps::fan_out(UNDO, saga::OnFailure::Undo, POLICY)];
        let id = world.begin(UNDO).await;
        let pause = Duration::from_millis(50);
        world.script.next(id, "b", false, [Act::Wait(pause), Act::Wait(pause)]);
        world.script.next(id, "c", false, [Act::Wait(pause * 2), Act::Wait(pause)]);
        let engine = world.engine(|setup| setup.definitions = definitions());
        let told = world.settle(&engine, id).await;
        world.assert_completed(&told).await;
    }
}

#[tokio::test]
async fn a_lease_holds_when_clocks_differ() {
    for skew in SKEWS {
        let world = World::with_skewed_database(skew).await;
        let short = |setup: &mut crate::world::Setup| setup.settings.lease = Duration::from_millis(400);
        let (first, second) = (world.engine(short), world.engine(short));
        let id = world.begin(UNDO).await;
        world.script.next(id, "a", false, [Act::Sleep(Duration::from_millis(1200))]);
        let stop = Shutdown::new();
        first.start(&stop);
        second.start(&stop);
        let told = world.at_rest(id).await;
        world.assert_completed(&told).await;
        assert_eq!(world.calls(id).await.len(), 3, "with a database {skew} off, two ran it");
        stop.begin();
        stop.drained().await;
    }
}

#[tokio::test]
async fn a_refused_identity_passes_however_often_it_is_refused() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    let refused = [const { Act::Fail(Kind::Unauthorized) }; 8];
    world.script.next(id, "b", false, refused);
    let told = world.settle(&engine, id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 9, 1], "more often than other failures are tried again");
}

#[tokio::test]
async fn undoing_goes_on_after_a_refused_identity() {
    let world = World::new().await;
    let engine = world.engine(|_| {});
    let id = world.begin(UNDO).await;
    world.script.next(id, "b", false, [Act::Fail(Kind::Unprocessable)]);
    world.script.next(id, "a", true, [const { Act::Fail(Kind::Unauthorized) }; 8]);
    let told = world.settle(&engine, id).await;
    world.assert_undone(&told, saga::Cause::Failed).await;
}
