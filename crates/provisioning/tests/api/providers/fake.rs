//! Fault injection and inspection of the fake provider.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fake_provider::{Action, Calls, Counts, FakeProvider, Fault, Operation, Outcome, Rule, Script, Stage};
use provisioning::providers::{Clock, ErrorKind, Provider as _, ProviderError, ResourceKind, Target};
use serde_json::json;

use super::movable_clock;
use super::targets::{one_of_each, plain, repository, secret, worker};

fn provider() -> FakeProvider {
    FakeProvider::in_memory(&Script::default(), Clock::system()).unwrap()
}

fn d1(name: &str) -> Target {
    plain(ResourceKind::D1, name)
}

fn retryable() -> Action {
    Action::Fail(Fault::Retryable("try again".into()))
}

#[tokio::test]
async fn rules_apply_to_matching_calls() {
    let fake = provider();
    let second_d1 = Rule::new(retryable()).on(Operation::Ensure).kind(ResourceKind::D1).calls(Calls::Nth(2));
    let named =
        Rule { name: Some("bad".into()), ..Rule::new(Action::Fail(Fault::Permanent("never".into()))) };
    let limited = Fault::RateLimited(Duration::from_secs(7));
    let first_kv = Rule::new(Action::Fail(limited)).kind(ResourceKind::Kv).calls(Calls::First(2));
    fake.follow([second_d1, named, first_kv]).await.unwrap();

    fake.ensure(&d1("a")).await.unwrap();
    fake.ensure(&plain(ResourceKind::R2, "b")).await.unwrap();
    fake.observe(&d1("b")).await.unwrap();
    assert_eq!(fake.ensure(&d1("b")).await.unwrap_err(), ProviderError::retryable("try again"));
    fake.ensure(&d1("b")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(fake.observe(&d1("bad")).await.unwrap_err(), ProviderError::permanent("never"));
    }
    let kv = plain(ResourceKind::Kv, "a");
    for _ in 0..2 {
        let error = fake.ensure(&kv).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::RateLimited { retry_after: Duration::from_secs(7) });
    }
    fake.ensure(&kv).await.unwrap();
}

#[tokio::test]
async fn rule_can_match_a_part_of_the_name() {
    let fake = provider();
    fake.follow([Rule::new(retryable()).about("acme").calls(Calls::Nth(2))]).await.unwrap();
    for name in ["acme-db", "other-db"] {
        fake.ensure(&d1(name)).await.unwrap();
    }
    let host = Target::dns(&super::targets::owner(), "shop.acme.example", "acme-shop").unwrap();
    assert_eq!(fake.ensure(&host).await.unwrap_err(), ProviderError::retryable("try again"));
    fake.ensure(&host).await.unwrap();
}

#[tokio::test]
async fn failure_can_be_injected_before_or_after_the_effect() {
    let fake = provider();
    fake.follow([Rule::new(retryable()).calls(Calls::First(1))]).await.unwrap();
    fake.ensure(&d1("a")).await.unwrap_err();
    assert!(fake.live().await.unwrap().is_empty());

    let unrecorded = Action::FailAfterEffect(Fault::RateLimited(Duration::from_secs(3)));
    fake.follow([Rule::new(unrecorded).calls(Calls::First(1))]).await.unwrap();
    let error = fake.ensure(&d1("a")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::RateLimited { retry_after: Duration::from_secs(3) });
    let live = fake.live().await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(fake.ensure(&d1("a")).await.unwrap().provider_id, live[0].provider_id);

    let unrecorded = Action::FailAfterEffect(Fault::Permanent("destroyed, but unconfirmed".into()));
    fake.follow([Rule::new(unrecorded).on(Operation::Destroy)]).await.unwrap();
    fake.destroy(&d1("a")).await.unwrap_err();
    assert!(fake.live().await.unwrap().is_empty());
    // An invalid request fails with its own error.
    fake.follow([Rule::new(Action::FailAfterEffect(Fault::Retryable("not this".into())))]).await.unwrap();
    let error = fake.ensure(&plain(ResourceKind::Worker, "a")).await.unwrap_err();
    assert!(error.message.contains("cannot be created"), "{error}");
}

#[tokio::test]
async fn lie_has_no_effect() {
    let fake = provider();
    fake.follow([Rule::new(Action::Lie)]).await.unwrap();
    let made_up = fake.ensure(&d1("a")).await.unwrap();
    assert!(fake.live().await.unwrap().is_empty());
    assert!(fake.observe(&d1("a")).await.unwrap().is_some());

    fake.follow([]).await.unwrap();
    assert_eq!(fake.observe(&d1("a")).await.unwrap(), None);
    let created = fake.ensure(&d1("a")).await.unwrap();
    assert_ne!(created.provider_id, made_up.provider_id);

    fake.follow([Rule::new(Action::Lie)]).await.unwrap();
    fake.destroy(&d1("a")).await.unwrap();
    assert_eq!(fake.observe(&d1("a")).await.unwrap(), None);
    fake.follow([]).await.unwrap();
    assert_eq!(fake.observe(&d1("a")).await.unwrap(), Some(created));
    let outcomes = fake.calls().await.unwrap().into_iter().map(|call| call.outcome.unwrap());
    let lies = outcomes.map(|outcome| outcome == Outcome::Lied).collect::<Vec<_>>();
    assert_eq!(lies, [true, true, false, false, true, true, false]);
}

#[tokio::test]
async fn hanging_call_continues_after_its_duration() {
    let fake = provider();
    let pause = Some(Duration::from_millis(60));
    for stage in [Stage::BeforeEffect, Stage::AfterEffect] {
        fake.follow([Rule::new(Action::Hang { stage, duration: pause }).calls(Calls::Nth(1))]).await.unwrap();
        let since = Instant::now();
        fake.ensure(&d1("a")).await.unwrap();
        assert!(since.elapsed() >= Duration::from_millis(60));
    }
    fake.set_script(Script { latency: Duration::from_millis(40), ..Script::default() }).await.unwrap();
    let since = Instant::now();
    fake.observe(&d1("a")).await.unwrap();
    assert!(since.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn call_that_hangs_forever_continues_when_the_script_changes() {
    let fake = provider();
    for (stage, live) in [(Stage::BeforeEffect, 0), (Stage::AfterEffect, 1)] {
        let target = d1(if live == 0 { "before" } else { "after" });
        fake.follow([Rule::new(Action::Hang { stage, duration: None })]).await.unwrap();
        let before = fake.live().await.unwrap().len();
        let call = tokio::spawn({
            let (fake, target) = (fake.clone(), target.clone());
            async move { fake.ensure(&target).await }
        });
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert!(!call.is_finished());
        assert_eq!(fake.live().await.unwrap().len(), before + live);
        assert_eq!(fake.calls().await.unwrap().last().unwrap().outcome, None);
        fake.follow([]).await.unwrap();
        let created = call.await.unwrap().unwrap();
        assert_eq!(fake.observe(&target).await.unwrap(), Some(created));
    }
}

#[tokio::test]
async fn calls_over_the_rate_limit_get_retry_after() {
    let (clock, now) = movable_clock();
    let rule = Rule::new(retryable()).calls(Calls::Nth(4));
    let script = Script { calls_per_second: NonZeroU32::new(3), rules: vec![rule], ..Script::default() };
    let fake = FakeProvider::in_memory(&script, clock).unwrap();
    for name in ["a", "b", "c"] {
        fake.ensure(&d1(name)).await.unwrap();
        now.fetch_add(100, Ordering::SeqCst);
    }
    for _ in 0..2 {
        let error = fake.ensure(&d1("d")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::RateLimited { retry_after: Duration::from_millis(700) });
    }
    assert_eq!(fake.calls().await.unwrap().last().unwrap().outcome, Some(Outcome::Capped));
    now.fetch_add(700, Ordering::SeqCst);
    // This is the fourth accepted call; rejected calls do not count.
    assert_eq!(fake.ensure(&d1("d")).await.unwrap_err().kind, ErrorKind::Retryable);
    assert!(matches!(fake.ensure(&d1("d")).await.unwrap_err().kind, ErrorKind::RateLimited { .. }));
    now.fetch_add(100, Ordering::SeqCst);
    fake.ensure(&d1("d")).await.unwrap();
}

#[tokio::test]
async fn orphans_duplicates_and_recreations_are_reported() {
    let fake = provider();
    let targets = one_of_each("acme");
    for target in &targets {
        fake.ensure(target).await.unwrap();
    }
    assert!(fake.orphans(&targets).await.unwrap().is_empty());
    assert!(fake.duplicates().await.unwrap().is_empty());
    assert!(fake.recreated().await.unwrap().is_empty());

    fake.ensure(&d1("forgotten")).await.unwrap();
    let orphans = fake.orphans(&targets).await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.identity.as_str()).collect::<Vec<_>>(), ["d1/forgotten"]);

    fake.follow([Rule::new(Action::Duplicate)]).await.unwrap();
    let second = fake.ensure(&d1("acme")).await.unwrap();
    fake.follow([]).await.unwrap();
    assert_eq!(fake.duplicates().await.unwrap(), ["d1/acme"]);
    assert_ne!(fake.ensure(&d1("acme")).await.unwrap().provider_id, second.provider_id);
    fake.destroy(&d1("acme")).await.unwrap();
    assert!(fake.duplicates().await.unwrap().is_empty());

    fake.destroy(&d1("forgotten")).await.unwrap();
    fake.ensure(&d1("forgotten")).await.unwrap();
    assert_eq!(fake.recreated().await.unwrap(), ["d1/acme", "d1/forgotten"]);
    fake.ensure(&worker("acme", "another")).await.unwrap();
    fake.destroy(&worker("acme", "another")).await.unwrap();
    let counts = fake.counts().await.unwrap();
    assert_eq!(counts["d1"], Counts { live: 1, created: 4, changed: 0, destroyed: 3 });
    assert_eq!(counts["worker"], Counts { live: 0, created: 1, changed: 1, destroyed: 1 });
    assert_eq!(counts["secret"], Counts { live: 0, created: 1, changed: 0, destroyed: 1 });
}

#[tokio::test]
async fn every_call_is_recorded_with_its_outcome() {
    let fake = provider();
    fake.follow([Rule::new(retryable()).on(Operation::Destroy)]).await.unwrap();
    fake.ensure(&d1("a")).await.unwrap();
    fake.destroy(&d1("a")).await.unwrap_err();
    fake.observe(&secret("a", "TOKEN", Some("hunter2hunter2"))).await.unwrap();
    let calls = fake.calls().await.unwrap();
    let expected = [
        (1, "ensure", "d1/a", Outcome::Ok),
        (2, "destroy", "d1/a", Outcome::Failed("try again".into())),
        (3, "observe", "secret/a/TOKEN", Outcome::Ok),
    ];
    assert_eq!(calls.len(), expected.len());
    for (call, (number, operation, identity, outcome)) in calls.into_iter().zip(expected) {
        assert_eq!(
            (call.number, call.operation.as_str(), call.identity.as_str()),
            (number, operation, identity)
        );
        assert_eq!(call.outcome, Some(outcome));
    }
}

#[tokio::test]
async fn folder_remembers_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script { rules: vec![Rule::new(retryable()).calls(Calls::Nth(2))], ..Script::default() };
    let open = |script: Option<&Script>| FakeProvider::open(folder.path(), script, Clock::system()).unwrap();

    let created = open(Some(&script)).ensure(&d1("a")).await.unwrap();
    // After a restart with the same script, this is the second call.
    let again = open(Some(&script));
    again.ensure(&d1("a")).await.unwrap_err();
    assert_eq!(again.ensure(&d1("a")).await.unwrap(), created);

    // Another handle changes the script. A restart with the original script does not revert it.
    let handle = open(None);
    handle.follow([Rule::new(Action::Fail(Fault::Permanent("no".into())))]).await.unwrap();
    assert_eq!(again.ensure(&d1("a")).await.unwrap_err().kind, ErrorKind::Permanent);
    assert_eq!(open(Some(&script)).ensure(&d1("a")).await.unwrap_err().kind, ErrorKind::Permanent);
    // A restart with a different script replaces it.
    assert_eq!(open(Some(&Script::default())).ensure(&d1("a")).await.unwrap(), created);
    assert_eq!(handle.script().await.unwrap(), Script::default());
    assert_eq!(handle.calls().await.unwrap().len(), 6);
}

#[tokio::test]
async fn secret_values_are_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
    fake.ensure(&worker("acme", "one")).await.unwrap();
    fake.ensure(&secret("acme", "TOKEN", Some("hunter2hunter2"))).await.unwrap();
    fake.ensure(&repository("acme", "Acme")).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!content.windows(7).any(|window| window == b"hunter2"));
    }
}

#[test]
fn script_is_parsed_from_json() {
    let script: Script = serde_json::from_value(json!({
        "latency": "15ms",
        "calls_per_second": 4,
        "rules": [
            { "operation": "ensure", "kind": "d1", "calls": { "nth": 2 }, "action": { "fail": { "retryable": "busy" } } },
            { "calls": { "first": 3 }, "action": { "fail_after_effect": { "rate_limited": "2s" } } },
            { "name": "acme", "action": "lie" },
            { "kind": "git_repository", "action": { "hang": { "stage": "after_effect", "for": "1m" } } },
            { "operation": "destroy", "action": { "hang": { "stage": "before_effect" } } },
            { "action": "duplicate" }
        ]
    }))
    .unwrap();
    let rate_limited = Action::FailAfterEffect(Fault::RateLimited(Duration::from_secs(2)));
    let minute = Action::Hang { stage: Stage::AfterEffect, duration: Some(Duration::from_secs(60)) };
    let expected = Script {
        latency: Duration::from_millis(15),
        calls_per_second: NonZeroU32::new(4),
        rules: vec![
            Rule::new(Action::Fail(Fault::Retryable("busy".into())))
                .on(Operation::Ensure)
                .kind(ResourceKind::D1)
                .calls(Calls::Nth(2)),
            Rule::new(rate_limited).calls(Calls::First(3)),
            Rule { name: Some("acme".into()), ..Rule::new(Action::Lie) },
            Rule::new(minute).kind(ResourceKind::GitRepository),
            Rule::new(Action::Hang { stage: Stage::BeforeEffect, duration: None }).on(Operation::Destroy),
            Rule::new(Action::Duplicate),
        ],
    };
    assert_eq!(script, expected);
    assert_eq!(serde_json::from_str::<Script>(&serde_json::to_string(&script).unwrap()).unwrap(), script);
    for bad in [
        json!({ "rule": [] }),
        json!({ "rules": [{ "action": "explode" }] }),
        json!({ "rules": [{ "when": "now", "action": "lie" }] }),
        json!({ "calls_per_second": 0 }),
    ] {
        assert!(serde_json::from_value::<Script>(bad.clone()).is_err(), "{bad}");
    }
}
