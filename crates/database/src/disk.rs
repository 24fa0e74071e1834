//! The disk of the database, as far as failed writes tell of it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::Error;

/// A service that is not ready may get no writes any more that would show that there is space again.
const BELIEVED_FOR: Duration = Duration::from_secs(15);

/// When a write last failed for want of space, if none has succeeded since.
#[derive(Debug, Default)]
pub(super) struct Disk(Mutex<Option<Instant>>);

impl Disk {
    /// Learns from how a write ended.
    pub(super) fn learn<T>(&self, written: &Result<T, Error>) {
        let is_full = match written {
            Ok(_) => false,
            Err(error) if error.is_disk_full() => true,
            Err(_) => return,
        };
        let mut full_since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (is_full, full_since.is_some()) {
            (true, false) => {
                tracing::error!("the disk of the database is full: writes fail until there is space")
            }
            (false, true) => tracing::info!("the database takes writes again"),
            _ => {}
        }
        *full_since = is_full.then(Instant::now);
    }

    /// Whether the last write failed for want of space, a short while ago.
    pub(super) fn is_full(&self) -> bool {
        let full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        full.is_some_and(|since| since.elapsed() < BELIEVED_FOR)
    }
}
