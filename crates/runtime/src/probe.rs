//! The probes of `/ready`.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

const DEADLINE: Duration = Duration::from_secs(2);

type Check = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// A check of `/ready`.
#[derive(Clone)]
pub struct Probe {
    name: &'static str,
    required: bool,
    check: Arc<Check>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", self.name)
    }
}

impl Probe {
    /// A probe without which the process is not ready.
    pub fn required(
        name: &'static str,
        check: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, required: true, check: Arc::new(check) }
    }

    /// A probe whose failure is reported but does not make the process unready.
    pub fn optional(
        name: &'static str,
        check: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, required: false, check: Arc::new(check) }
    }

    /// The name in the response of `/ready`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns true if the process is not ready without this probe.
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// Runs the check, for at most two seconds.
    ///
    /// # Errors
    /// The reason of the failure, as public text.
    pub async fn run(&self) -> Result<(), String> {
        tokio::time::timeout(DEADLINE, (self.check)())
            .await
            .unwrap_or_else(|_| Err("did not respond in time".to_owned()))
    }
}
