//! Looking after those who follow sagas.

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

/// How often it is looked whether what is followed has changed: in one statement for all who follow something here.
const LOOK: Duration = Duration::from_millis(250);
/// Sagas that are followed at a time in one process.
const MOST: usize = 1024;
/// Sagas whose ends are awaited at a time in one process.
const MOST_AWAITED: usize = 16 * 1024;

impl crate::Saga {
    /// What the saga is the life of, as it stands.
    pub fn snapshot<T>(&self, thing: T) -> Snapshot<T> {
        Snapshot { value: thing, revision: self.revision, ended: !self.status.is_in_progress() }
    }
}

/// Those who follow sagas in this process, and those who wait for the ends of some.
#[derive(Debug, Clone)]
pub struct Followers {
    state: Arc<Mutex<State>>,
    some: Arc<Notify>,
    stop: Shutdown,
}

#[derive(Debug, Default)]
struct State {
    followed: HashMap<Uuid, watch::Sender<i64>>,
    awaited: HashMap<Uuid, watch::Sender<bool>>,
}

impl State {
    /// The sagas that someone is still interested in.
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
    /// Looks after followers until the process stops.
    pub fn start(db: Db, stop: &Shutdown) -> Self {
        let this = Self { state: Arc::default(), some: Arc::default(), stop: stop.clone() };
        stop.spawn(this.clone().look(db));
        this
    }

    /// Tells when a saga has changed. To be called before it is read, so that what changes after that is seen.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when too many are followed.
    pub fn follow(&self, id: Uuid) -> Result<Changes> {
        let followed = &mut self.state().followed;
        if followed.len() >= MOST && !followed.contains_key(&id) {
            return Err(Error::unavailable("Following", "as many are followed as one process can"));
        }
        let revisions = followed.entry(id).or_insert_with(|| watch::Sender::new(-1)).subscribe();
        self.some.notify_one();
        Ok(Changes { revisions, stop: self.stop.clone() })
    }

    /// Waits until a saga has ended, or is stuck: at once if it has, and also for one that is yet to be recorded.
    ///
    /// # Errors
    /// [`domain::Kind::ServiceUnavailable`] when the ends of too many are awaited.
    pub fn ended(&self, id: Uuid) -> Result<impl Future<Output = Uuid> + Send + use<>> {
        let awaited = &mut self.state().awaited;
        if awaited.len() >= MOST_AWAITED && !awaited.contains_key(&id) {
            return Err(Error::unavailable("Waiting", "as many are awaited as one process can"));
        }
        let mut ended = awaited.entry(id).or_insert_with(|| watch::Sender::new(false)).subscribe();
        self.some.notify_one();
        Ok(async move {
            let _ended = ended.wait_for(|ended| *ended).await;
            id
        })
    }

    /// Ends when the process begins to stop.
    pub async fn stopped(&self) {
        self.stop.begun().await;
    }

    /// Reports an end that this process has written, before it would be found.
    pub(crate) fn note_end(&self, id: Uuid) {
        self.state().end(id);
    }

    async fn look(self, db: Db) {
        while !self.stop.has_begun() {
            let ids = self.state().ids();
            if ids.is_empty() {
                tokio::select! {
                    () = self.some.notified() => {}
                    () = self.stop.begun() => {}
                }
                continue;
            }
            match db.service_read(async |c| store::revisions(c, &ids).await).await {
                Ok(found) => self.tell(&found),
                Err(error) => {
                    tracing::debug!(context = error.log_context(), "cannot look at what is followed")
                }
            }
            self.stop.sleep(LOOK).await;
        }
    }

    fn tell(&self, found: &[(Uuid, i64, SagaStatus)]) {
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
