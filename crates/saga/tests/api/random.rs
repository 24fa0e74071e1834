//! Whatever happens, in whatever order: a saga is completed with every effect once, or undone with none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use domain::{Error, Kind};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use saga::{Cause, Engine, Interpose, OnFailure, Policy, SagaStatus, Verdict};

use crate::{
    steps::{App, POLICY, definition, fan_out},
    world::{World, kind},
};

/// What happens to one saga.
#[derive(Debug, Clone)]
struct Case {
    /// Whether two of its steps run side by side.
    fan_out: bool,
    /// At each point in turn; nothing happens at those after the last.
    verdicts: Vec<Happening>,
    /// Someone asks for it to be undone after so many turns of an engine.
    asked: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    Nothing,
    Twice,
    Death,
    Passing,
    Lasting,
}

fn cases() -> impl Strategy<Value = Case> {
    let happening = prop_oneof![
        12 => Just(Happening::Nothing),
        3 => Just(Happening::Twice),
        4 => Just(Happening::Death),
        3 => Just(Happening::Passing),
        1 => Just(Happening::Lasting),
    ];
    let asked = prop_oneof![3 => Just(None), 1 => (0usize..8).prop_map(Some)];
    let case = (any::<bool>(), prop::collection::vec(happening, 0..40), asked);
    case.prop_map(|(fan_out, verdicts, asked)| Case { fan_out, verdicts, asked })
}

fn interpose(case: &Case) -> Interpose {
    let script = Mutex::new(VecDeque::from(case.verdicts.clone()));
    Arc::new(move |_| match script.lock().unwrap().pop_front() {
        None | Some(Happening::Nothing) => Verdict::Go,
        Some(Happening::Twice) => Verdict::Twice,
        Some(Happening::Death) => Verdict::Die,
        Some(Happening::Passing) => Verdict::Fail(Error::new(Kind::Upstream, "passing")),
        Some(Happening::Lasting) => Verdict::Fail(Error::new(Kind::Unprocessable, "lasting")),
    })
}

/// Lets time pass: leases run out, pauses end.
async fn later(world: &World) {
    let sql = "UPDATE sagas SET lease_until = now() - interval '1 s', next_run_at = now() \
         WHERE status IN ('pending', 'running', 'undoing')";
    world.execute(sql).await;
}

async fn ends_well(world: &World, case: &Case) -> Result<(), TestCaseError> {
    let name = kind("random".to_owned());
    // More tries to undo than there are happenings: none of these gets stuck.
    let policy = Policy { undo_attempts: 100, ..POLICY };
    let happens = interpose(case);
    let engine = |name_of_process: &'static str| -> Engine<App> {
        world.engine(|setup| {
            setup.name = name_of_process;
            let define = if case.fan_out { fan_out } else { definition };
            setup.definitions = vec![define(name, OnFailure::Undo, policy)];
            setup.hooks.interpose = Some(Arc::clone(&happens));
        })
    };
    let engines = [engine("first"), engine("second")];
    let id = world.begin(name).await;
    for turn in 0.. {
        prop_assert!(turn < 200, "it goes on for ever");
        if case.asked == Some(turn) {
            world.ask_undo(id).await;
        }
        if !world.told(id).await.saga.status.is_in_progress() && case.asked.is_none_or(|asked| asked < turn) {
            break;
        }
        if !engines[turn % 2].turn().await.unwrap() {
            later(world).await;
        }
    }
    let told = world.told(id).await;
    match told.saga.status {
        SagaStatus::Completed => world.assert_completed(&told).await,
        _ => world.assert_undone(&told, told.saga.cause.unwrap_or(Cause::Failed)).await,
    }
    let asked_in_vain = case.asked.is_some() && told.saga.status == SagaStatus::Completed;
    prop_assert!(!asked_in_vain, "what was asked for was forgotten: {:?}", told);
    Ok(())
}

#[test]
fn it_ends_well() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: 120, failure_persistence: None, ..Config::default() });
    runner.run(&cases(), |case| runtime.block_on(ends_well(&world, &case))).unwrap();
    // Both ends were met, or the cases show nothing.
    for status in ["completed", "undone"] {
        let sql = format!("SELECT count(*) AS number FROM sagas WHERE status = '{status}'");
        assert!(runtime.block_on(world.number(&sql)) > 5, "{status}");
    }
    // Its pool ends its connections on the runtime.
    let _entered = runtime.enter();
    drop(world);
}
