//! Pacing of calls to a provider with a rate limit.

use std::{sync::Arc, time::Duration};

use fake_provider::{Action, Calls, FakeProvider, Fault, Outcome, Rule, Script};
use provisioning::providers::{Clock, ErrorKind, Owner, PacedProvider, Provider as _, ResourceKind, Target};

fn target(name: &str) -> Target {
    let platform = domain::PlatformId::parse("k3x9q2m7ab").unwrap();
    Target::plain(&Owner::of(&platform), ResourceKind::Kv, name).unwrap()
}

#[tokio::test]
async fn all_calls_succeed_with_few_rejections() {
    let script = Script { calls_per_second: 20.try_into().ok(), ..Script::default() };
    let fake = FakeProvider::in_memory(&script, Clock::system()).unwrap();
    let paced = PacedProvider::new(Arc::new(fake.clone()));
    let names: Vec<_> = (0..60).map(|n| target(&format!("item-{n}"))).collect();
    let created = futures_util::future::join_all(names.iter().map(|name| paced.ensure(name))).await;
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    assert_eq!(fake.live().await.unwrap().len(), 60);
    // All calls of the first second start before the first rejection.
    let calls = fake.calls().await.unwrap().len();
    assert!(calls < 160, "{calls} calls for 60 targets");
}

#[tokio::test]
async fn long_pause_fails_all_calls_at_once() {
    let fake = FakeProvider::in_memory(&Script::default(), Clock::system()).unwrap();
    let fault = Fault::RateLimited(Duration::from_secs(300));
    let rule = Rule { calls: Calls::First(1), ..Rule::new(Action::Fail(fault)) };
    fake.follow([rule]).await.unwrap();
    let paced = PacedProvider::new(Arc::new(fake.clone()));
    for name in ["first", "second"] {
        let error = paced.ensure(&target(name)).await.unwrap_err();
        let ErrorKind::RateLimited { retry_after } = error.kind else { panic!("{error:?}") };
        assert!(retry_after > Duration::from_secs(290), "{retry_after:?}");
    }
    let calls = fake.calls().await.unwrap();
    assert!(
        matches!(calls.as_slice(), [call] if matches!(call.outcome, Some(Outcome::Failed(_)))),
        "{calls:?}"
    );
}
