//! Random faults in random order: a saga is completed with every effect once, or undone with none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use domain::{Error, Kind};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use saga::{Cause, Engine, Fault, FaultInjector, OnFailure, Policy, SagaStatus};

use crate::{
    steps::{App, POLICY, definition, fan_out},
    world::{World, kind},
};

/// The faults of one saga.
#[derive(Debug, Clone)]
struct Case {
    /// True if two of the steps run concurrently.
    fan_out: bool,
    /// The fault at each injection point; the points after the last have none.
    faults: Vec<RandomFault>,
    /// The number of engine runs after which the undo is requested.
    undo_after: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum RandomFault {
    Nothing,
    Twice,
    Crash,
    Transient,
    Permanent,
}

fn cases() -> impl Strategy<Value = Case> {
    let fault = prop_oneof![
        12 => Just(RandomFault::Nothing),
        3 => Just(RandomFault::Twice),
        4 => Just(RandomFault::Crash),
        3 => Just(RandomFault::Transient),
        1 => Just(RandomFault::Permanent),
    ];
    let undo_after = prop_oneof![3 => Just(None), 1 => (0usize..8).prop_map(Some)];
    let case = (any::<bool>(), prop::collection::vec(fault, 0..40), undo_after);
    case.prop_map(|(fan_out, faults, undo_after)| Case { fan_out, faults, undo_after })
}

fn fault_injector(case: &Case) -> FaultInjector {
    let script = Mutex::new(VecDeque::from(case.faults.clone()));
    Arc::new(move |_| match script.lock().unwrap().pop_front() {
        None | Some(RandomFault::Nothing) => Fault::None,
        Some(RandomFault::Twice) => Fault::RunTwice,
        Some(RandomFault::Crash) => Fault::Crash,
        Some(RandomFault::Transient) => Fault::Fail(Error::new(Kind::Upstream, "transient")),
        Some(RandomFault::Permanent) => Fault::Fail(Error::new(Kind::Unprocessable, "permanent")),
    })
}

/// Expires all leases and pauses.
async fn expire_leases_and_pauses(world: &World) {
    let sql = "UPDATE sagas SET lease_until = now() - interval '1 s', next_run_at = now() \
         WHERE status IN ('pending', 'running', 'undoing')";
    world.execute(sql).await;
}

async fn ends_well(world: &World, case: &Case) -> Result<(), TestCaseError> {
    let name = kind("random".to_owned());
    // More attempts to undo than faults, so that no saga gets stuck.
    let policy = Policy { undo_attempts: 100, ..POLICY };
    let injector = fault_injector(case);
    let engine = |process: &'static str| -> Engine<App> {
        world.engine(|setup| {
            setup.name = process;
            let define = if case.fan_out { fan_out } else { definition };
            setup.definitions = vec![define(name, OnFailure::Undo, policy)];
            setup.hooks.fault_injector = Some(Arc::clone(&injector));
        })
    };
    let engines = [engine("first"), engine("second")];
    let id = world.begin(name).await;
    for run in 0.. {
        prop_assert!(run < 200, "the saga does not end");
        if case.undo_after == Some(run) {
            world.request_undo(id).await;
        }
        if !world.load(id).await.saga.status.is_in_progress()
            && case.undo_after.is_none_or(|after| after < run)
        {
            break;
        }
        if !engines[run % 2].run_once().await.unwrap() {
            expire_leases_and_pauses(world).await;
        }
    }
    let record = world.load(id).await;
    match record.saga.status {
        SagaStatus::Completed => world.assert_completed(&record).await,
        _ => world.assert_undone(&record, record.saga.cause.unwrap_or(Cause::Failed)).await,
    }
    let undo_was_lost = case.undo_after.is_some() && record.saga.status == SagaStatus::Completed;
    prop_assert!(!undo_was_lost, "the undo request was lost: {:?}", record);
    Ok(())
}

#[test]
fn saga_with_random_faults_is_completed_or_undone() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: 120, failure_persistence: None, ..Config::default() });
    runner.run(&cases(), |case| runtime.block_on(ends_well(&world, &case))).unwrap();
    // The cases must produce both results.
    for status in ["completed", "undone"] {
        let sql = format!("SELECT count(*) AS number FROM sagas WHERE status = '{status}'");
        assert!(runtime.block_on(world.number(&sql)) > 5, "{status}");
    }
    // The pool needs the runtime to close its connections.
    let _entered = runtime.enter();
    drop(world);
}
