//! A provider that is left alone when it asks to be.
//!
//! A provider lets so many calls through in a time, and says of those beyond when to come back. Were each caller to find
//! that out for itself, most calls would be refusals, and after the pause all would come at once. So the first that is
//! refused has all others wait, in one line, and call when there is room again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::Mutex, time::Instant};

use super::{ErrorKind, Hostname, Observed, Provider, ProviderError, Target, Verdict};

/// How long a call waits in line, and is made again, before its refusal is told: less than a step may take, so that a
/// longer pause is the saga's, which holds on to nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Another provider, called at its own pace.
pub(crate) struct Paced {
    provider: Arc<dyn Provider>,
    /// Who waits does so in the order of coming; when the first may call.
    line: Mutex<Instant>,
}

impl Paced {
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, line: Mutex::new(Instant::now()) }
    }

    async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        let patience = Instant::now() + PATIENCE;
        loop {
            self.wait(patience).await?;
            let answer = call().await;
            let Err(ProviderError { kind: ErrorKind::RateLimited { retry_after }, .. }) = &answer else {
                return answer;
            };
            let room = Instant::now() + *retry_after;
            {
                let mut first = self.line.lock().await;
                *first = room.max(*first);
            }
            if room > patience {
                return answer;
            }
        }
    }

    /// Ends when the provider may be called.
    async fn wait(&self, patience: Instant) -> Result<(), ProviderError> {
        let late = || {
            let again = Duration::from_secs(1);
            ProviderError::rate_limited(again, "the provider has more to do than it lets through")
        };
        let first = tokio::time::timeout_at(patience, self.line.lock()).await.map_err(|_elapsed| late())?;
        if *first > patience {
            let pause = first.saturating_duration_since(Instant::now());
            return Err(ProviderError { kind: ErrorKind::RateLimited { retry_after: pause }, ..late() });
        }
        tokio::time::sleep_until(*first).await;
        Ok(())
    }
}

#[async_trait]
impl Provider for Paced {
    async fn ensure(&self, target: &Target) -> Result<Observed, ProviderError> {
        self.call(|| self.provider.ensure(target)).await
    }

    async fn destroy(&self, target: &Target) -> Result<(), ProviderError> {
        self.call(|| self.provider.destroy(target)).await
    }

    async fn observe(&self, target: &Target) -> Result<Option<Observed>, ProviderError> {
        self.call(|| self.provider.observe(target)).await
    }

    async fn verify_domain(&self, hostname: &Hostname, target: &Hostname) -> Result<Verdict, ProviderError> {
        self.call(|| self.provider.verify_domain(hostname, target)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{
        Clock, ResourceKind,
        fake::{Action, Calls, FakeProvider, Fault, Outcome, Rule, Script},
    };

    fn target(name: &str) -> Target {
        Target::plain(ResourceKind::Kv, name).unwrap()
    }

    #[tokio::test]
    async fn all_get_through_and_few_are_refused() {
        let script = Script { calls_per_second: 20.try_into().ok(), ..Script::default() };
        let fake = FakeProvider::in_memory(&script, Clock::system()).unwrap();
        let paced = Paced::new(Arc::new(fake.clone()));
        let names: Vec<_> = (0..60).map(|n| target(&format!("thing-{n}"))).collect();
        let made = futures_util::future::join_all(names.iter().map(|name| paced.ensure(name))).await;
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        assert_eq!(fake.live().await.unwrap().len(), 60);
    }

    #[tokio::test]
    async fn a_long_pause_is_told_at_once_to_all() {
        let fake = FakeProvider::in_memory(&Script::default(), Clock::system()).unwrap();
        let fault = Fault::RateLimited(Duration::from_secs(300));
        let rule = Rule { calls: Calls::First(1), ..Rule::new(Action::Fail(fault)) };
        fake.follow([rule]).await.unwrap();
        let paced = Paced::new(Arc::new(fake.clone()));
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
}
