//! A runner that dies, at every point of every step, both ways: another takes over when the lease has run out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::Kind;
use futures_util::future::join_all;
use runtime::shutdown::Shutdown;
use saga::{Cause, Interpose, Moment, OnFailure, Point, Verdict};
use tokio::time::Instant;

use crate::{
    steps::{Act, POLICY, STEPS, definition},
    world::{UNDO, World, attempts, kind, undo_attempts},
};

const POINTS: [Point; 4] = [Point::BeforeIntent, Point::AfterIntent, Point::AfterEffect, Point::AfterRecord];
/// Longer than a loaded machine takes for what is done under it, and waited for by all cases at once.
const LEASE: Duration = Duration::from_secs(1);

/// Dies once, at this point.
fn die(at: &'static str, undo: bool, point: Point) -> (Interpose, Arc<AtomicBool>) {
    let died = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&died);
    let interpose = move |met: Moment<'_>| {
        let here = (met.step, met.undo, met.point) == (at, undo, point) && !seen.swap(true, Ordering::SeqCst);
        if here { Verdict::Die } else { Verdict::Go }
    };
    (Arc::new(interpose), died)
}

/// Which step, in the order in which it goes, is tried twice when the runner dies at the `nth` step, and whether that one
/// is also called twice. What ends a step is written with what begins the next.
fn again(nth: usize, point: Point) -> (Option<usize>, bool) {
    match point {
        Point::BeforeIntent => (nth.checked_sub(1), true),
        Point::AfterIntent => (Some(nth), false),
        Point::AfterEffect => (Some(nth), true),
        Point::AfterRecord => (Some(nth + 1).filter(|next| *next < STEPS.len()), false),
    }
}

async fn taken_over(world: &World, at: usize, undo: bool, point: Point) {
    let step = STEPS[at];
    let kind = kind(format!("{step}-{undo}-{point:?}"));
    let id = world.begin(kind).await;
    if undo {
        world.script.always(id, "c", false, Act::FailAfter(Kind::Unprocessable));
    }
    let (interpose, died) = die(step, undo, point);
    let begun = Instant::now();
    let first = world.engine(|setup| {
        setup.settings.lease = LEASE;
        setup.definitions = vec![definition(kind, OnFailure::Undo, POLICY)];
        setup.hooks.interpose = Some(interpose);
    });
    let second = world.engine(|setup| {
        setup.name = "second";
        setup.settings.lease = LEASE;
        setup.definitions = vec![definition(kind, OnFailure::Undo, POLICY)];
    });
    assert!(first.turn().await.unwrap());
    assert!(died.load(Ordering::SeqCst), "it did not come to {step} {undo} {point:?}");
    let taken = second.turn().await.unwrap();
    assert!(!taken || begun.elapsed() > LEASE, "taken over from one that may be alive");

    let told = world.settle(&second, id).await;
    let position = |nth: usize| if undo { STEPS.len() - 1 - nth } else { nth };
    let (again, called) = again(position(at), point);
    let (mut tries, mut calls) = ([1; 3], [1; 3]);
    if let Some(again) = again.map(position) {
        tries[again] = 2;
        calls[again] += usize::from(called);
    }
    let made = world.calls(id).await;
    let made = |call: String| made.iter().filter(|one| **one == call).count();
    let way = if undo { "undo" } else { "run" };
    assert_eq!(STEPS.map(|step| made(format!("{way} {step}"))), calls, "{way} {step} {point:?}");
    if undo {
        world.assert_undone(&told, Cause::Failed).await;
        assert_eq!(undo_attempts(&told), tries, "{way} {step} {point:?}");
        // The failure that turned it is not written either before the first is undone.
        let last = 1 + usize::from(position(at) == 0 && point == Point::BeforeIntent);
        assert_eq!(STEPS.map(|step| made(format!("run {step}"))), [1, 1, last]);
    } else {
        world.assert_completed(&told).await;
        assert_eq!(attempts(&told), tries, "{way} {step} {point:?}");
    }
}

async fn taken_over_everywhere(undo: bool) {
    let world = World::new().await;
    let cases = POINTS.iter().flat_map(|point| (0..STEPS.len()).map(move |at| (at, *point)));
    join_all(cases.map(|(at, point)| taken_over(&world, at, undo, point))).await;
}

/// A process that is the only one knows that who held a saga is dead.
#[tokio::test]
async fn one_that_is_alone_takes_over_at_once() {
    let world = World::new().await;
    let id = world.begin(UNDO).await;
    let (interpose, died) = die("b", false, Point::AfterEffect);
    let first = world.engine(|setup| setup.hooks.interpose = Some(interpose));
    assert!(first.turn().await.unwrap());
    assert!(died.load(Ordering::SeqCst) && world.told(id).await.saga.lease_until.is_some());
    let second = world.engine(|setup| setup.settings.alone = true);
    let stop = Shutdown::new();
    second.start(&stop);
    let told = world.at_rest(id).await;
    world.assert_completed(&told).await;
    assert_eq!(attempts(&told), [1, 2, 1]);
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn going_on_is_taken_over_at_every_point() {
    taken_over_everywhere(false).await;
}

#[tokio::test]
async fn going_back_is_taken_over_at_every_point() {
    taken_over_everywhere(true).await;
}
