//! Looking after those who follow sagas.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::Db;
use domain::{Error, Result};
use runtime::shutdown::Shutdown;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use web::events::{Changes, Snapshot};

use crate::store;

/// How often it is looked whether what is followed has changed: in one statement for all who follow something here.
const LOOK: Duration = Duration::from_millis(250);
/// Sagas that are followed at a time in one process.
const MOST: usize = 1024;

impl crate::Saga {
    /// What the saga is the life of, as it stands.
    pub fn snapshot<T>(&self, thing: T) -> Snapshot<T> {
        Snapshot { thing, revision: self.revision, ended: !self.status.is_live() }
    }
}

/// Those who follow sagas in this process.
#[derive(Debug, Clone)]
pub struct Followers {
    followed: Arc<Mutex<HashMap<Uuid, watch::Sender<i64>>>>,
    some: Arc<Notify>,
    stop: Shutdown,
}

impl Followers {
    /// Looks after followers until the process stops.
    pub fn start(db: Db, stop: &Shutdown) -> Self {
        let this = Self { followed: Arc::default(), some: Arc::default(), stop: stop.clone() };
        stop.spawn(this.clone().look(db));
        this
    }

    /// Tells when a saga has changed. To be called before it is read, so that what changes after that is seen.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when too many are followed.
    pub fn follow(&self, id: Uuid) -> Result<Changes> {
        let mut followed = self.followed();
        if followed.len() >= MOST && !followed.contains_key(&id) {
            return Err(Error::unavailable("Following", "as many are followed as one process can"));
        }
        let revisions = followed.entry(id).or_insert_with(|| watch::Sender::new(-1)).subscribe();
        self.some.notify_one();
        Ok(Changes { revisions, stop: self.stop.clone() })
    }

    async fn look(self, db: Db) {
        while !self.stop.has_begun() {
            let ids: Vec<Uuid> = {
                let mut followed = self.followed();
                followed.retain(|_, changes| changes.receiver_count() > 0);
                followed.keys().copied().collect()
            };
            if ids.is_empty() {
                tokio::select! {
                    () = self.some.notified() => {}
                    () = self.stop.begun() => {}
                }
                continue;
            }
            match db.own_read(async |c| store::revisions(c, &ids).await).await {
                Ok(revisions) => self.tell(&revisions),
                Err(error) => {
                    tracing::debug!(context = error.log_context(), "cannot look at what is followed")
                }
            }
            self.stop.sleep(LOOK).await;
        }
    }

    fn tell(&self, revisions: &[(Uuid, i64)]) {
        let followed = self.followed();
        for (id, revision) in revisions {
            if let Some(changes) = followed.get(id) {
                changes.send_if_modified(|known| std::mem::replace(known, *revision) != *revision);
            }
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<i64>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
