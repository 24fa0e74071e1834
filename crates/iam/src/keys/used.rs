//! When keys were last used: noted while they are resolved, and written later, many at once.

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

/// How often what was noted is written.
const EVERY: Duration = Duration::from_secs(2);

/// The keys that were used since the last were written. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used(Arc<Mutex<HashMap<Uuid, DateTime<Utc>>>>);

impl Used {
    /// A key was used.
    pub(super) fn note(&self, id: Uuid, at: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, at);
    }

    fn take(&self) -> (Vec<Uuid>, Vec<DateTime<Utc>>) {
        let mut noted: Vec<_> =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect();
        // In one order, so that two processes that write the same keys do not wait for each other.
        noted.sort_unstable();
        noted.into_iter().unzip()
    }
}

/// Writes when keys were last used. What is lost when that fails is one use.
pub(crate) fn start_workers(app: &App) {
    let of = app.clone();
    worker::run(&app.shutdown, "keys_used", EVERY, Arc::default(), move || {
        let app = of.clone();
        async move {
            let (ids, times) = app.used.take();
            if !ids.is_empty() {
                store::mark_used(&*app.db.service_conn().await?, &ids, &times).await?;
            }
            Ok(false)
        }
    });
}
