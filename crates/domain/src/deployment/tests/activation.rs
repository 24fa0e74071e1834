use proptest::prelude::*;

use super::{activation_id, any_planned, at, job, platform, slug, stack_id, tenant, version};
use crate::{
    deployment::{
        Activation, ActivationEvent as Event, ActivationKey, ActivationRequest, FeatureJobEnd,
        FeatureJobKind, FeatureSource, FeatureStatus as S, FeatureTransition as T, RunningFeature,
        feature_status::TRANSITIONS,
    },
    id::StackId,
    resource::Environment,
};

fn request(major: u8, number: u128) -> ActivationRequest {
    let source = FeatureSource {
        package: format!("@shop/cart-{major}"),
        ..FeatureSource::without_stack(&slug("cart"))
    };
    ActivationRequest { version: version(major), source, job: job(number) }
}

/// The activation of version 1 by job 1, requested at second 0.
fn requested() -> Activation {
    let key = ActivationKey {
        platform: platform(),
        entity: tenant(),
        feature: slug("cart"),
        environment: Environment::Prod,
    };
    Activation::new(activation_id(100), key, request(1, 1), at(0))
}

fn ended(number: u128, kind: FeatureJobKind, error: Option<&str>) -> FeatureJobEnd {
    FeatureJobEnd {
        job: job(number),
        kind,
        error: error.map(str::to_owned),
        service_url: Some("https://cart.example".to_owned()),
        deleted_data: false,
        version_before: None,
    }
}

fn done(number: u128) -> Event {
    Event::JobEnded(ended(number, FeatureJobKind::Activate, None))
}

fn failed(number: u128, error: &str) -> Event {
    Event::JobEnded(ended(number, FeatureJobKind::Activate, Some(error)))
}

fn run(start: &Activation, events: &[Event]) -> Activation {
    events.iter().zip(1..).fold(start.clone(), |now, (event, second)| now.apply(event, at(second)).unwrap())
}

/// Version 1, active by job 1.
fn active() -> Activation {
    run(&requested(), &[Event::JobBegan { job: job(1) }, done(1)])
}

fn any_job() -> impl Strategy<Value = u128> {
    1..5u128
}

fn any_end() -> impl Strategy<Value = FeatureJobEnd> {
    let kind = prop_oneof![Just(FeatureJobKind::Activate), Just(FeatureJobKind::Deactivate)];
    let error = proptest::option::of(prop_oneof![Just("no quota"), Just("cancelled")]);
    (any_job(), kind, error, any::<bool>(), proptest::option::of(1..4u8)).prop_map(
        |(number, kind, error, deleted_data, before)| FeatureJobEnd {
            deleted_data,
            version_before: before.map(version),
            ..ended(number, kind, error)
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let stack = prop_oneof![Just(stack_id()), Just(StackId::default_stack())];
    prop_oneof![
        3 => (1..4u8, any_job()).prop_map(|(major, number)| Event::Requested(request(major, number))),
        1 => any_job().prop_map(|number| Event::DeactivationRequested { job: job(number) }),
        3 => any_job().prop_map(|number| Event::JobBegan { job: job(number) }),
        4 => any_end().prop_map(Event::JobEnded),
        1 => (stack, any_planned(), any_job())
            .prop_map(|(stack, feature, number)| Event::Deployed { stack, feature, job: job(number) }),
        1 => any_job().prop_map(|number| Event::Detached { job: job(number) }),
        1 => any_job().prop_map(|number| Event::StackRemoved { job: job(number) }),
    ]
}

/// The events of a change by one job, up to some point, and one event out of order.
fn any_change() -> impl Strategy<Value = Vec<Event>> {
    (1..4u8, any_job(), any::<bool>(), any_end(), 0..4usize, any_event()).prop_map(
        |(major, number, activates, end, length, stray)| {
            let events = match activates {
                true => vec![
                    Event::Requested(request(major, number)),
                    Event::JobBegan { job: job(number) },
                    done(number),
                ],
                false => vec![Event::DeactivationRequested { job: job(number) }],
            };
            let end = Event::JobEnded(FeatureJobEnd { job: job(number), ..end });
            events.into_iter().take(length).chain([end, stray]).collect()
        },
    )
}

/// The state after changes of which some fail and some are cut short, and a second after the last event.
fn any_state() -> impl Strategy<Value = (Activation, i64)> {
    proptest::collection::vec(any_change(), 0..5).prop_map(|changes| {
        let (mut now, mut second) = (requested(), 1);
        for event in changes.concat() {
            now = now.apply(&event, at(second)).unwrap_or(now);
            second += 1;
        }
        (now, second)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_applied_twice_changes_nothing_more((state, second) in any_state(), event in any_event()) {
        if let Ok(once) = state.apply(&event, at(second)) {
            prop_assert_eq!(once.apply(&event, at(second)).unwrap(), once.clone());
            // A stack's job may deploy the same feature again; any other event is one of the past by then.
            if !matches!(event, Event::Deployed { .. }) {
                prop_assert_eq!(once.apply(&event, at(second + 1)).unwrap(), once);
            }
        }
    }

    #[test]
    fn a_report_about_another_job_changes_nothing((state, second) in any_state(), end in any_end()) {
        let other = FeatureJobEnd { job: job(9), ..end };
        for event in [Event::JobEnded(other), Event::JobBegan { job: job(9) }] {
            prop_assert_eq!(state.transition(&event), None);
            prop_assert_eq!(state.apply(&event, at(second)).unwrap(), state.clone());
        }
    }

    #[test]
    fn a_failed_upgrade_leaves_what_ran(begins in any::<bool>(), reports in 1..4usize) {
        let before = active();
        let mut events = vec![Event::Requested(request(2, 2))];
        events.extend(begins.then_some(Event::JobBegan { job: job(2) }));
        events.extend(vec![failed(2, "no quota"); reports]);
        let after = run(&before, &events);
        prop_assert_eq!(&after.running, &before.running);
        prop_assert_eq!((after.status, &after.version, &after.package), (S::Active, &before.version, &before.package));
        prop_assert_eq!(after.error.as_deref(), Some("no quota"));
    }

    #[test]
    fn only_an_active_feature_must_run((state, _) in any_state()) {
        prop_assert!(state.status != S::Active || state.running.is_some());
        let idle = matches!(state.status, S::Failed | S::Deactivating | S::Deactivated);
        prop_assert!(!idle || state.running.is_none());
    }

    #[test]
    fn the_transition_is_that_of_the_status((state, second) in any_state(), event in any_event()) {
        if let Ok(after) = state.apply(&event, at(second)) {
            match state.transition(&event) {
                None => prop_assert_eq!(after.status, state.status),
                Some(by) => {
                    prop_assert!(TRANSITIONS.iter().any(|(_, on, to)| (*on, *to) == (by, after.status)));
                }
            }
        }
    }
}

#[test]
fn a_request_runs_once_its_job_is_done() {
    let after = run(&requested(), &[Event::JobBegan { job: job(1) }, done(1)]);
    let package = "@shop/cart-1".to_owned();
    assert_eq!(after.status, S::Active);
    assert_eq!(after.running, Some(RunningFeature { version: version(1), package }));
    assert_eq!(after.service_url.as_deref(), Some("https://cart.example"));
    assert_eq!((after.took_ms, after.has_data, after.activated_at), (Some(2_000), true, Some(at(2))));
}

#[test]
fn a_failed_first_activation_runs_nothing() {
    let after = run(&requested(), &[Event::JobBegan { job: job(1) }, failed(1, "no quota")]);
    assert_eq!((after.status, after.running, after.has_data), (S::Failed, None, false));
}

#[test]
fn a_job_undone_after_its_end_brings_back_the_version_before() {
    let upgraded =
        run(&active(), &[Event::Requested(request(2, 2)), Event::JobBegan { job: job(2) }, done(2)]);
    let end = ended(2, FeatureJobKind::Activate, Some("cancelled"));
    let event = Event::JobEnded(FeatureJobEnd { version_before: Some(version(1)), ..end.clone() });
    assert_eq!(upgraded.transition(&event), Some(T::Revert));
    let after = run(&upgraded, &[event]);
    assert_eq!((after.status, &after.version), (S::Active, &version(1)));
    assert_eq!(after.running.unwrap().version, version(1));

    let first = run(&active(), &[Event::JobEnded(FeatureJobEnd { job: job(1), ..end })]);
    assert_eq!((first.status, first.running), (S::Failed, None));
}

#[test]
fn a_deactivation_hides_the_feature_at_once_and_can_be_undone() {
    let hidden = run(&active(), &[Event::DeactivationRequested { job: job(2) }]);
    assert_eq!((hidden.status, &hidden.running), (S::Deactivating, &None));
    let end = ended(2, FeatureJobKind::Deactivate, None);
    let gone = run(&hidden, &[Event::JobEnded(FeatureJobEnd { deleted_data: true, ..end.clone() })]);
    assert_eq!((gone.status, gone.has_data), (S::Deactivated, false));
    let restored = run(&hidden, &[Event::JobEnded(FeatureJobEnd { error: Some("no".to_owned()), ..end })]);
    assert_eq!((restored.status, restored.running), (S::Active, active().running));
}

#[test]
fn a_service_that_exists_stays_in_its_stack() {
    let other = FeatureSource { stack: stack_id(), package: "@shop/other".to_owned(), has_service: false };
    let event = |number| Event::Requested(ActivationRequest { source: other.clone(), ..request(2, number) });
    let upgraded = run(&active(), &[event(2)]);
    assert_eq!((&upgraded.stack, upgraded.has_service), (&StackId::default_stack(), true));
    assert_eq!(upgraded.package, "@shop/other");
    let failed = run(&requested(), &[failed(1, "no quota")]);
    assert_eq!(run(&failed, &[event(2)]).stack, stack_id());
    let without_stack = run(&active(), &[Event::StackRemoved { job: job(2) }]);
    assert_eq!((without_stack.status, without_stack.has_data), (S::Deactivated, false));
    assert_eq!(run(&without_stack, &[event(3)]).stack, stack_id());
}

#[test]
fn data_that_exists_stays_in_its_stack() {
    let end = ended(2, FeatureJobKind::Deactivate, None);
    let gone = run(&active(), &[Event::DeactivationRequested { job: job(2) }, Event::JobEnded(end)]);
    assert_eq!((gone.status, gone.has_data), (S::Deactivated, true));
    let source = FeatureSource { stack: stack_id(), package: "@shop/other".to_owned(), has_service: false };
    let again = run(&gone, &[Event::Requested(ActivationRequest { source, ..request(2, 3) })]);
    assert_eq!((&again.stack, again.has_service), (&StackId::default_stack(), true));
}

#[test]
fn a_feature_that_is_not_active_cannot_be_deactivated() {
    let error = requested().apply(&Event::DeactivationRequested { job: job(2) }, at(1)).unwrap_err();
    assert_eq!(error.kind(), crate::Kind::InvalidTransition);
    assert_eq!(error.details()["event"], "deactivate");
}

#[test]
fn a_version_is_covered_while_it_runs_or_is_requested() {
    assert!(requested().covers(&version(1)) && active().covers(&version(1)));
    assert!(!active().covers(&version(2)));
    assert!(!run(&requested(), &[failed(1, "no quota")]).covers(&version(1)));
}
