//! Full-disk state of the database, as observed through failed writes.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::Error;

/// Lifetime of an observation. A service that is not ready may receive no writes that would show free space.
const VALID_FOR: Duration = Duration::from_secs(15);

/// Time of the last write that failed because the disk was full; `None` once a write succeeds.
#[derive(Debug, Default)]
pub(super) struct Disk(Mutex<Option<Instant>>);

impl Disk {
    /// Records the result of a write.
    pub(super) fn record_result<T>(&self, result: &Result<T, Error>) {
        let is_full = match result {
            Ok(_) => false,
            Err(error) if error.is_disk_full() => true,
            Err(_) => return,
        };
        let mut full_since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (is_full, full_since.is_some()) {
            (true, false) => {
                tracing::error!("the disk of the database is full: writes fail until space is freed")
            }
            (false, true) => tracing::info!("the database accepts writes again"),
            _ => {}
        }
        *full_since = is_full.then(Instant::now);
    }

    /// Returns true if the last write failed recently because the disk was full.
    pub(super) fn is_full(&self) -> bool {
        let full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        full.is_some_and(|since| since.elapsed() < VALID_FOR)
    }
}
