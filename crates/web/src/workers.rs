//! Whether the worker threads of an HTTP server still run their tasks.
//!
//! A worker whose thread is taken by one request answers none of its other connections, and the process looks healthy
//! from outside. So each worker notes the time once a second, and `/ready`, on a worker that runs, compares.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use runtime::Probe;

const INTERVAL: Duration = Duration::from_secs(1);
/// Silence after which a worker counts as stuck.
const SILENCE: Duration = Duration::from_secs(5);

/// The worker threads of one server.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<Mutex<Vec<Weak<Worker>>>>);

#[derive(Debug)]
struct Worker {
    /// The last time that it ran its tasks.
    seen: Mutex<Instant>,
}

impl Workers {
    /// Watches the worker thread that calls this, for as long as it lives.
    pub fn watch(&self) {
        let worker = Arc::new(Worker { seen: Mutex::new(Instant::now()) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&worker));
        actix_web::rt::spawn(async move {
            loop {
                *worker.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                tokio::time::sleep(INTERVAL).await;
            }
        });
    }

    /// A probe that fails while a worker is stuck.
    pub fn probe(&self) -> Probe {
        let workers = self.clone();
        Probe::needed("workers", move || {
            let stuck = workers.stuck();
            Box::pin(async move { stuck.map_or(Ok(()), Err) })
        })
    }

    /// The first worker that is stuck, in words.
    fn stuck(&self) -> Option<String> {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker that ended was replaced by another.
        workers.retain(|worker| worker.strong_count() > 0);
        let silences = workers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|worker| worker.seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed());
        let (number, silence) = silences.enumerate().find(|(_, silence)| *silence > SILENCE)?;
        Some(format!("worker {} has not answered for {} s", number + 1, silence.as_secs()))
    }
}
