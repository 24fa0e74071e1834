//! Crashes of a runner in every phase of every step, in both directions. Another runner takes over after the lease.

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
use saga::{Cause, Fault, FaultInjector, InjectionPoint, OnFailure, StepPhase};
use tokio::time::Instant;

use crate::{
    steps::{Act, POLICY, STEPS, definition},
    world::{UNDO, World, attempts, kind, undo_attempts},
};

const PHASES: [StepPhase; 4] =
    [StepPhase::BeforeIntent, StepPhase::AfterIntent, StepPhase::AfterEffect, StepPhase::AfterRecord];
/// Longer than a loaded machine needs for a case. All cases wait for it at the same time.
const LEASE: Duration = Duration::from_secs(1);

/// Injects one crash, in this phase of this step.
fn crash_once(at: &'static str, undo: bool, phase: StepPhase) -> (FaultInjector, Arc<AtomicBool>) {
    let crashed = Arc::new(AtomicBool::new(false));
    let injected = Arc::clone(&crashed);
    let fault_injector = move |point: InjectionPoint<'_>| {
        let here = (point.step, point.undo, point.phase) == (at, undo, phase)
            && !injected.swap(true, Ordering::SeqCst);
        if here { Fault::Crash } else { Fault::None }
    };
    (Arc::new(fault_injector), crashed)
}

/// Returns the step, in the order of execution, that is attempted twice if the runner crashes at the `nth` step, and
/// true if it is also called twice. The end of a step and the start of the next are written together.
fn repeated(nth: usize, phase: StepPhase) -> (Option<usize>, bool) {
    match phase {
        StepPhase::BeforeIntent => (nth.checked_sub(1), true),
        StepPhase::AfterIntent => (Some(nth), false),
        StepPhase::AfterEffect => (Some(nth), true),
        StepPhase::AfterRecord => (Some(nth + 1).filter(|next| *next < STEPS.len()), false),
    }
}

async fn take_over(world: &World, at: usize, undo: bool, phase: StepPhase) {
    let step = STEPS[at];
    let kind = kind(format!("{step}-{undo}-{phase:?}"));
    let id = world.begin(kind).await;
    if undo {
        world.script.always(id, "c", false, Act::FailAfter(Kind::Unprocessable));
    }
    let (fault_injector, crashed) = crash_once(step, undo, phase);
    let start = Instant::now();
    let first = world.engine(|setup| {
        setup.settings.lease = LEASE;
        setup.definitions = vec![definition(kind, OnFailure::Undo, POLICY)];
        setup.hooks.fault_injector = Some(fault_injector);
    });
    let second = world.engine(|setup| {
        setup.name = "second";
        setup.settings.lease = LEASE;
        setup.definitions = vec![definition(kind, OnFailure::Undo, POLICY)];
    });
    assert!(first.run_once().await.unwrap());
    assert!(crashed.load(Ordering::SeqCst), "the saga did not reach {step} {undo} {phase:?}");
    let taken = second.run_once().await.unwrap();
    assert!(!taken || start.elapsed() > LEASE, "taken over from a runner that may be alive");

    let record = world.settle(&second, id).await;
    let position = |nth: usize| if undo { STEPS.len() - 1 - nth } else { nth };
    let (again, called) = repeated(position(at), phase);
    let (mut attempts_made, mut calls) = ([1; 3], [1; 3]);
    if let Some(again) = again.map(position) {
        attempts_made[again] = 2;
        calls[again] += usize::from(called);
    }
    let recorded = world.calls(id).await;
    let count = |call: String| recorded.iter().filter(|one| **one == call).count();
    let call = if undo { "undo" } else { "run" };
    assert_eq!(STEPS.map(|step| count(format!("{call} {step}"))), calls, "{call} {step} {phase:?}");
    if undo {
        world.assert_undone(&record, Cause::Failed).await;
        assert_eq!(undo_attempts(&record), attempts_made, "{call} {step} {phase:?}");
        // The failure that starts the undo is written together with the start of the first undo.
        let last = 1 + usize::from(position(at) == 0 && phase == StepPhase::BeforeIntent);
        assert_eq!(STEPS.map(|step| count(format!("run {step}"))), [1, 1, last]);
    } else {
        world.assert_completed(&record).await;
        assert_eq!(attempts(&record), attempts_made, "{call} {step} {phase:?}");
    }
}

async fn take_over_everywhere(undo: bool) {
    let world = World::new().await;
    let cases = PHASES.iter().flat_map(|phase| (0..STEPS.len()).map(move |at| (at, *phase)));
    join_all(cases.map(|(at, phase)| take_over(&world, at, undo, phase))).await;
}

/// A process that runs alone knows that all other holders of leases are dead.
#[tokio::test]
async fn process_that_runs_alone_takes_over_at_once() {
    let world = World::new().await;
    let id = world.begin(UNDO).await;
    let (fault_injector, crashed) = crash_once("b", false, StepPhase::AfterEffect);
    let first = world.engine(|setup| setup.hooks.fault_injector = Some(fault_injector));
    assert!(first.run_once().await.unwrap());
    assert!(crashed.load(Ordering::SeqCst) && world.load(id).await.saga.lease_until.is_some());
    let second = world.engine(|setup| setup.settings.alone = true);
    let stop = Shutdown::new();
    second.start(&stop);
    let record = world.wait_until_ended(id).await;
    world.assert_completed(&record).await;
    assert_eq!(attempts(&record), [1, 2, 1]);
    stop.begin();
    stop.drained().await;
}

#[tokio::test]
async fn another_runner_takes_over_at_every_phase() {
    take_over_everywhere(false).await;
}

#[tokio::test]
async fn another_runner_takes_over_the_undo_at_every_phase() {
    take_over_everywhere(true).await;
}
