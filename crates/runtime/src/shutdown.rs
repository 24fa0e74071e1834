//! Stopping in order: one signal that everything that runs listens to.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The signal to stop, and the tasks that must end before the process may.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing is stopping yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the stop. Says so once and does not wait.
    pub fn begin(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Whether the stop has begun.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends when the stop begins.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Runs `task` in the background, in the span of its maker; [`Shutdown::drained`] waits for it.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        use tracing::Instrument;
        self.tasks.spawn(task.in_current_span());
    }

    /// Ends when every task has ended.
    pub async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Sleeps, but no longer than until the stop begins.
    pub async fn sleep(&self, time: std::time::Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.begun() => {}
        }
    }

    /// Begins the stop at SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
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
