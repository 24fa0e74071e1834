use proptest::prelude::*;
use serde_json::json;

use super::{any_shared, at, job, platform, stack_id, tenant, version};
use crate::{
    deployment::{
        JobEffect, NewStack, Replaced, Stack, StackEvent as Event, StackStatus as S, StackTemplate, Target,
        VersionWithInputs,
    },
    name::Name,
    resource::ResourceType,
};

fn with_inputs(major: u8) -> VersionWithInputs {
    let inputs = json!({ "size": major }).as_object().cloned().unwrap();
    VersionWithInputs { version: version(major), inputs }
}

fn target(major: u8) -> Target {
    Target { version: with_inputs(major), is_rollback: false }
}

fn upgrade(major: u8, number: u128) -> Event {
    Event::Requested { target: target(major), job: job(number) }
}

fn completed(number: u128) -> Event {
    Event::JobCompleted { job: job(number), shared: vec![ResourceType::D1], features_before: Vec::new() }
}

fn failed(number: u128) -> Event {
    Event::JobFailed { job: job(number), error: "no quota".to_owned() }
}

fn began(number: u128) -> Event {
    Event::JobBegan { job: job(number) }
}

fn new(template: Option<u8>) -> Stack {
    let template = template.map(|major| {
        let VersionWithInputs { version, inputs } = with_inputs(major);
        let id = "template01".to_owned();
        (StackTemplate { id, name: "shop".to_owned(), version, inputs: Some(inputs) }, job(1))
    });
    let new = NewStack {
        id: stack_id(),
        platform: platform(),
        tenant: tenant(),
        name: Name::parse("shop").unwrap(),
        is_default: false,
        repo_name: None,
        template,
    };
    Stack::new(new, at(0))
}

fn run(start: &Stack, events: &[Event]) -> Stack {
    events.iter().zip(1..).fold(start.clone(), |now, (event, second)| now.apply(event, at(second)).unwrap())
}

/// Version 1, active by job 1.
pub(super) fn active() -> Stack {
    run(&new(Some(1)), &[began(1), completed(1)])
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = || (1..5u128).prop_map(job);
    let requested = (1..4u8, any::<bool>(), number()).prop_map(|(major, is_rollback, job)| {
        Event::Requested { target: Target { is_rollback, ..target(major) }, job }
    });
    prop_oneof![
        3 => requested,
        3 => number().prop_map(|job| Event::JobBegan { job }),
        3 => (number(), any_shared())
            .prop_map(|(job, shared)| Event::JobCompleted { job, shared, features_before: Vec::new() }),
        3 => number().prop_map(|job| Event::JobFailed { job, error: "no quota".to_owned() }),
        1 => number().prop_map(|job| Event::Deleted { job }),
        1 => Just(Event::PlatformRemoved { reason: "taken down".to_owned() }),
    ]
}

/// The events of a change by one job, up to some point, and one event out of order.
fn any_change() -> impl Strategy<Value = Vec<Event>> {
    (1..4u8, 1..5u128, 0..5usize, any_event()).prop_map(|(major, number, length, stray)| {
        let events = [upgrade(major, number), began(number), completed(number), failed(number)];
        events.into_iter().take(length).chain([stray]).collect()
    })
}

/// The state after changes of which some fail and some are cut short.
fn any_state() -> impl Strategy<Value = Stack> {
    (any::<bool>(), proptest::collection::vec(any_change(), 0..4)).prop_map(|(is_running, changes)| {
        let start = if is_running { active() } else { new(Some(1)) };
        changes.concat().iter().fold(start, |now, event| now.apply(event, at(50)).unwrap_or(now))
    })
}

/// An active stack after changes that succeeded.
fn any_active() -> impl Strategy<Value = Stack> {
    proptest::collection::vec((1..4u8, any_shared()), 0..4).prop_map(|changes| {
        (10..).zip(changes).fold(active(), |now, (number, (major, shared))| {
            let done = Event::JobCompleted { job: job(number), shared, features_before: Vec::new() };
            run(&now, &[upgrade(major, number), began(number), done])
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_applied_twice_changes_nothing_more(state in any_state(), event in any_event()) {
        if let Ok(once) = state.apply(&event, at(100)) {
            prop_assert_eq!(once.apply(&event, at(101)).unwrap(), once);
        }
    }

    #[test]
    fn a_report_about_another_job_changes_nothing(state in any_state()) {
        for event in [began(9), completed(9), failed(9)] {
            prop_assert_eq!(state.apply(&event, at(100)).unwrap(), state.clone());
        }
    }

    #[test]
    fn a_report_about_a_deleted_stack_changes_nothing(state in any_state()) {
        let deleted = state.apply(&Event::Deleted { job: job(9) }, at(100)).unwrap();
        if let Some(job) = deleted.job {
            for is_done in [true, false] {
                prop_assert_eq!(deleted.effect_of_end(job, is_done), JobEffect::Unchanged);
            }
        }
    }

    #[test]
    fn a_failed_change_leaves_what_ran(
        state in any_active(), major in 1..4u8, begins in any::<bool>(), ends in any::<bool>(), shared in any_shared(),
    ) {
        let mut events = vec![upgrade(major, 9)];
        events.extend((begins || ends).then(|| began(9)));
        events.extend(ends.then(|| Event::JobCompleted { job: job(9), shared, features_before: Vec::new() }));
        events.push(failed(9));
        let after = run(&state, &events);
        prop_assert_eq!((after.version(), &after.shared), (state.version(), &state.shared));
        prop_assert_eq!((after.status, after.is_running), (S::Active, true));
        prop_assert_eq!((&after.previous, after.error.as_deref()), (&state.previous, Some("no quota")));
    }

    #[test]
    fn an_active_stack_is_running_and_a_changing_one_has_a_target(state in any_state()) {
        prop_assert!(state.status != S::Active || state.is_running);
        prop_assert!(!state.status.is_changing() || state.target.is_some());
    }
}

#[test]
fn a_custom_stack_is_active_at_once() {
    let stack = new(None);
    assert_eq!((stack.status, stack.is_running, stack.version(), stack.job), (S::Active, true, None, None));
}

#[test]
fn a_new_stack_becomes_active_with_its_job() {
    let stack = new(Some(1));
    assert_eq!((stack.status, &stack.target), (S::Pending, &Some(target(1))));
    let stack = active();
    assert_eq!((stack.status, stack.version(), stack.target), (S::Active, Some(with_inputs(1)), None));
    assert_eq!((stack.previous, stack.shared), (None, vec![ResourceType::D1]));
}

#[test]
fn a_stack_that_never_ran_fails_and_takes_the_version_of_the_next_request() {
    let stack = run(&new(Some(1)), &[failed(1), upgrade(2, 2)]);
    assert_eq!((stack.status, stack.version(), stack.is_running), (S::Pending, Some(with_inputs(2)), false));
    assert_eq!(run(&stack, &[began(2), failed(2)]).status, S::Failed);
}

#[test]
fn a_first_job_undone_after_its_end_leaves_nothing_that_runs() {
    let stack = run(&active(), &[failed(1)]);
    assert_eq!((stack.status, stack.is_running, stack.shared), (S::Failed, false, Vec::new()));
}

#[test]
fn a_rollback_goes_to_the_previous_version_once() {
    let upgraded = run(&active(), &[upgrade(2, 2), began(2), completed(2)]);
    let target = upgraded.rollback_target().unwrap();
    assert_eq!(target, Target { version: with_inputs(1), is_rollback: true });
    let back = run(&upgraded, &[Event::Requested { target, job: job(3) }, began(3), completed(3)]);
    assert_eq!((back.version(), &back.previous), (Some(with_inputs(1)), &None));
    let error = back.rollback_target().unwrap_err();
    assert_eq!(error.message(), "The stack has no previous version to roll back to.");
    assert_eq!(error.details()["allowed"], json!(["upgrade"]));
}

#[test]
fn the_same_version_again_keeps_the_previous_one() {
    let upgraded = run(&active(), &[upgrade(2, 2), began(2), completed(2)]);
    let again = run(&upgraded, &[upgrade(2, 3), began(3), completed(3)]);
    assert_eq!(again.previous, Some(with_inputs(1)));
}

#[test]
fn a_stack_that_is_being_changed_takes_no_other_request() {
    let pending = run(&active(), &[upgrade(2, 2)]);
    let error = pending.apply(&upgrade(3, 3), at(9)).unwrap_err();
    assert_eq!(error.kind(), crate::Kind::InvalidTransition);
}

// The database contains these texts.
#[test]
fn the_stored_form_stays_the_same() {
    let stored = json!({ "version": "1.0.0", "inputs": { "size": 1 }, "back": false });
    assert_eq!(serde_json::to_value(target(1)).unwrap(), stored);
    let feature = json!({
        "feature": "cart", "version": "1.0.0", "package": "@shop/cart", "has_service": true, "service_url": null,
    });
    let replaced = Replaced {
        version: Some(with_inputs(1)),
        previous: None,
        shared: vec![ResourceType::D1],
        features: vec![super::planned("cart", 1, true)],
    };
    let edition = json!({ "version": "1.0.0", "inputs": { "size": 1 } });
    let stored = json!({ "edition": edition, "previous": null, "shared": ["d1"], "parts": [feature] });
    assert_eq!(serde_json::to_value(replaced).unwrap(), stored);
}
