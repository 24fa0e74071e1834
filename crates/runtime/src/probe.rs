//! What `/ready` asks.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

const DEADLINE: Duration = Duration::from_secs(2);

type Ask = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// One thing that `/ready` looks at.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    needed: bool,
    ask: Arc<Ask>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", self.name)
    }
}

impl Probe {
    /// Something without which the service is not ready.
    pub fn needed(
        name: &'static str,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, needed: true, ask: Arc::new(ask) }
    }

    /// Something whose absence is told, but that the service works without for a while.
    pub fn told(
        name: &'static str,
        ask: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, needed: false, ask: Arc::new(ask) }
    }

    /// The name in the answer of `/ready`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the process is not ready without it.
    pub const fn is_needed(&self) -> bool {
        self.needed
    }

    /// Asks it, for at most two seconds.
    ///
    /// # Errors
    /// What keeps it from answering.
    pub async fn run(&self) -> Result<(), String> {
        tokio::time::timeout(DEADLINE, (self.ask)())
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}
