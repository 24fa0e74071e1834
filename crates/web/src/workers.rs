//! Detection of blocked worker threads of an HTTP server.
//!
//! If one request blocks a worker's thread, the worker serves none of its other connections, although the process looks
//! healthy from outside. So each worker records the time once per second, and `/ready`, on a worker that runs, checks
//! the times of all.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use runtime::Probe;

const INTERVAL: Duration = Duration::from_secs(1);
/// The silence after which a worker counts as blocked.
const SILENCE: Duration = Duration::from_secs(5);

/// The worker threads of one server.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<Mutex<Vec<Weak<Worker>>>>);

#[derive(Debug)]
struct Worker {
    /// The last time at which the worker ran its tasks.
    last_run: Mutex<Instant>,
}

impl Workers {
    /// Monitors the calling worker thread, until it ends.
    pub fn watch(&self) {
        let worker = Arc::new(Worker { last_run: Mutex::new(Instant::now()) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&worker));
        actix_web::rt::spawn(async move {
            loop {
                *worker.last_run.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                tokio::time::sleep(INTERVAL).await;
            }
        });
    }

    /// Returns a probe that fails while a worker is blocked.
    pub fn probe(&self) -> Probe {
        let workers = self.clone();
        Probe::required("workers", move || {
            let blocked = workers.blocked();
            Box::pin(async move { blocked.map_or(Ok(()), Err) })
        })
    }

    /// Returns a message about the first blocked worker, if there is one.
    fn blocked(&self) -> Option<String> {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker that ended has been replaced by a new one.
        workers.retain(|worker| worker.strong_count() > 0);
        let silences = workers
            .iter()
            .filter_map(Weak::upgrade)
            .map(|worker| worker.last_run.lock().unwrap_or_else(PoisonError::into_inner).elapsed());
        let (number, silence) = silences.enumerate().find(|(_, silence)| *silence > SILENCE)?;
        Some(format!("worker {} has been blocked for {} s", number + 1, silence.as_secs()))
    }
}
