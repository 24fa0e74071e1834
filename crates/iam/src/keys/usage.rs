//! Times at which keys were last used. They are recorded while keys are resolved, and written later in batches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use runtime::worker;
use uuid::Uuid;

use super::store;
use crate::App;

/// Interval between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// Keys that were used since the last write. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyUsage(Arc<Mutex<HashMap<Uuid, DateTime<Utc>>>>);

impl KeyUsage {
    /// Records the use of a key.
    pub(super) fn record(&self, id: Uuid, at: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, at);
    }

    fn take(&self) -> (Vec<Uuid>, Vec<DateTime<Utc>>) {
        let mut used: Vec<_> =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect();
        // Sorted, so that two processes that write the same keys cannot deadlock.
        used.sort_unstable();
        used.into_iter().unzip()
    }
}

/// Starts the worker that writes the recorded times. If a write fails, its times are lost.
pub(crate) fn start_workers(app: &App) {
    let state = app.clone();
    worker::run(&app.shutdown, "keys_used", WRITE_EVERY, Arc::default(), move || {
        let app = state.clone();
        async move {
            let (ids, times) = app.usage.take();
            if !ids.is_empty() {
                store::mark_used(&*app.db.service_conn().await?, &ids, &times).await?;
            }
            Ok(false)
        }
    });
}
