//! Graceful shutdown: one signal for all tasks of the process.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The signal to stop, and the tasks that must end before the process exits.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Creates a signal that has not been given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the shutdown and does not wait for it.
    pub fn begin(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Returns true if the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Runs `task` in the background, in the current span. [`Shutdown::drained`] waits for it.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        use tracing::Instrument;
        self.tasks.spawn(task.in_current_span());
    }

    /// Waits until all tasks have ended.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Sleeps for `time`, or until the shutdown begins.
    pub async fn sleep(&self, time: std::time::Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.begun() => {}
        }
    }

    /// Begins the shutdown on SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signal(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
                _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
            }
            shutdown.begin();
        });
        Ok(())
    }
}
