//! Notification of the clients that follow sagas.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::Db;
use domain::{Error, Result};
use runtime::shutdown::Shutdown;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use web::events::{Changes, Snapshot};

use crate::{SagaStatus, store};

/// The interval at which one statement checks all followed sagas of the process for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum number of sagas followed in one process at a time.
const MAX_FOLLOWED: usize = 1024;
/// Maximum number of sagas whose ends are awaited in one process at a time.
const MAX_AWAITED: usize = 16 * 1024;

impl crate::Saga {
    /// A snapshot of the object that the saga drives, for [`web::events::follow`].
    pub fn snapshot<T>(&self, value: T) -> Snapshot<T> {
        Snapshot { value, revision: self.revision, ended: !self.status.is_in_progress() }
    }
}

/// The clients in this process that follow sagas or wait for their ends.
#[derive(Debug, Clone)]
pub struct Followers {
    state: Arc<Mutex<State>>,
    added: Arc<Notify>,
    stop: Shutdown,
}

#[derive(Debug, Default)]
struct State {
    followed: HashMap<Uuid, watch::Sender<i64>>,
    awaited: HashMap<Uuid, watch::Sender<bool>>,
}

impl State {
    /// Returns the sagas that still have a receiver.
    fn ids(&mut self) -> Vec<Uuid> {
        self.followed.retain(|_, changes| changes.receiver_count() > 0);
        self.awaited.retain(|_, ended| ended.receiver_count() > 0);
        let ids: BTreeSet<Uuid> = self.followed.keys().chain(self.awaited.keys()).copied().collect();
        ids.into_iter().collect()
    }

    fn end(&mut self, id: Uuid) {
        if let Some(ended) = self.awaited.remove(&id) {
            ended.send_replace(true);
        }
    }
}

impl Followers {
    /// Starts the task that notifies followers until the process stops.
    pub fn start(db: Db, stop: &Shutdown) -> Self {
        let this = Self { state: Arc::default(), added: Arc::default(), stop: stop.clone() };
        stop.spawn(this.clone().poll(db));
        this
    }

    /// Subscribes to the changes of a saga. Call it before reading the saga, so that no later change is missed.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] if too many sagas are followed.
    pub fn follow(&self, id: Uuid) -> Result<Changes> {
        let followed = &mut self.state().followed;
        if followed.len() >= MAX_FOLLOWED && !followed.contains_key(&id) {
            return Err(Error::unavailable("Following", "the process follows the maximum number of sagas"));
        }
        let revisions = followed.entry(id).or_insert_with(|| watch::Sender::new(-1)).subscribe();
        self.added.notify_one();
        Ok(Changes { revisions, stop: self.stop.clone() })
    }

    /// Returns a future that resolves when the saga has ended or is stuck, at once if it has. The saga need not be
    /// recorded yet.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] if the ends of too many sagas are awaited.
    pub fn wait_for_end(&self, id: Uuid) -> Result<impl Future<Output = Uuid> + Send + use<>> {
        let awaited = &mut self.state().awaited;
        if awaited.len() >= MAX_AWAITED && !awaited.contains_key(&id) {
            return Err(Error::unavailable("Waiting", "the process awaits the maximum number of sagas"));
        }
        let mut ended = awaited.entry(id).or_insert_with(|| watch::Sender::new(false)).subscribe();
        self.added.notify_one();
        Ok(async move {
            let _ended = ended.wait_for(|ended| *ended).await;
            id
        })
    }

    /// Resolves when the process begins to stop.
    pub async fn stopped(&self) {
        self.stop.begun().await;
    }

    /// Notifies the waiters of an end that this process has written, ahead of the next poll.
    pub(crate) fn notify_end(&self, id: Uuid) {
        self.state().end(id);
    }

    async fn poll(self, db: Db) {
        while !self.stop.has_begun() {
            let ids = self.state().ids();
            if ids.is_empty() {
                tokio::select! {
                    () = self.added.notified() => {}
                    () = self.stop.begun() => {}
                }
                continue;
            }
            match db.service_read(async |c| store::revisions(c, &ids).await).await {
                Ok(found) => self.publish(&found),
                Err(error) => {
                    tracing::debug!(context = error.log_context(), "cannot poll the followed sagas")
                }
            }
            self.stop.sleep(POLL_INTERVAL).await;
        }
    }

    fn publish(&self, found: &[(Uuid, i64, SagaStatus)]) {
        let mut state = self.state();
        for (id, revision, status) in found {
            if let Some(changes) = state.followed.get(id) {
                changes.send_if_modified(|known| std::mem::replace(known, *revision) != *revision);
            }
            if !status.is_in_progress() {
                state.end(*id);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
