//! Following a saga: what a person sees of it, sent anew whenever it has changed, as server-sent events.
//!
//! An event is the whole thing as it stands, and its id is the saga's revision. So whoever comes back with the id that
//! they saw last has missed nothing that still holds, whichever process they come back to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, web::Bytes};
use domain::{Error, Result};
use futures_util::stream;
use kit::{Db, shutdown::Shutdown};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::store;

/// How often it is looked whether what is followed has changed: in one statement for all who follow something here.
const LOOK: Duration = Duration::from_millis(250);
/// A sign of life, so that nothing on the way takes a silent line for a dead one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Sagas that are followed at a time in one process.
const MOST: usize = 1024;

/// Something a saga is the life of, as it stands.
#[derive(Debug)]
pub struct Snapshot<T> {
    pub thing: T,
    pub revision: i64,
    /// Whether nothing more will become of it by itself.
    pub ended: bool,
}

impl<T> Snapshot<T> {
    /// What `thing` is the life of.
    pub fn of(saga: &crate::Saga, thing: T) -> Self {
        Self { thing, revision: saga.revision, ended: !saga.status.is_live() }
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

    /// Answers with events: what `read` gives, now and after each change. It ends with what it has come to; a client
    /// that has seen that is told that there is nothing more (204).
    ///
    /// # Errors
    /// Those of `read`; [`domain::Kind::Validation`] when `Last-Event-ID` is none of ours;
    /// [`domain::Kind::ServiceUnavailable`] when too many are followed.
    pub async fn answer<T, R>(&self, request: &HttpRequest, id: Uuid, read: R) -> Result<HttpResponse>
    where
        T: Serialize + 'static,
        R: AsyncFn() -> Result<Snapshot<T>> + 'static,
    {
        let seen = last_seen(request)?;
        // Followed first: what changes after it was read is seen.
        let changes = self.follow(id)?;
        let now = read().await?;
        if now.ended && seen.is_some_and(|seen| seen >= now.revision) {
            return Ok(HttpResponse::NoContent().finish());
        }
        let line = Line { changes, read, seen, next: Some(now), over: false, stop: self.stop.clone() };
        let pieces = stream::unfold(line, |line| async { line.piece().await });
        Ok(HttpResponse::Ok().content_type("text/event-stream").streaming(pieces))
    }

    fn follow(&self, id: Uuid) -> Result<watch::Receiver<i64>> {
        let mut followed = self.followed();
        if followed.len() >= MOST && !followed.contains_key(&id) {
            return Err(Error::unavailable("Following", "as many are followed as one process can"));
        }
        let changes = followed.entry(id).or_insert_with(|| watch::Sender::new(-1)).subscribe();
        self.some.notify_one();
        Ok(changes)
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
            match db.read(async |c| store::revisions(c, &ids).await).await {
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

fn last_seen(request: &HttpRequest) -> Result<Option<i64>> {
    let Some(value) = request.headers().get("last-event-id") else { return Ok(None) };
    let seen = value.to_str().ok().and_then(|text| text.parse().ok());
    seen.map(Some).ok_or_else(|| Error::invalid("Last-Event-ID", "must be the id of an event that was sent"))
}

/// One who follows.
struct Line<T, R> {
    changes: watch::Receiver<i64>,
    read: R,
    /// The revision that was sent last.
    seen: Option<i64>,
    /// What was read and may be new to them.
    next: Option<Snapshot<T>>,
    over: bool,
    stop: Shutdown,
}

impl<T: Serialize, R: AsyncFn() -> Result<Snapshot<T>>> Line<T, R> {
    /// The next piece of the answer, when there is one.
    async fn piece(mut self) -> Option<(serde_json::Result<Bytes>, Self)> {
        while !self.over {
            if let Some(Snapshot { thing, revision, ended }) = self.next.take()
                && self.seen.is_none_or(|seen| revision > seen)
            {
                (self.seen, self.over) = (Some(revision), ended);
                let event = event(revision, if ended { "end" } else { "change" }, &thing);
                return Some((event, self));
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep(SIGN_OF_LIFE) => {
                    return Some((Ok(Bytes::from_static(b": nothing new\n\n")), self));
                }
                () = self.stop.begun() => return None,
            }
            match (self.read)().await {
                Ok(snapshot) => self.next = Some(snapshot),
                // They come back, and are told what is wrong then.
                Err(error) => {
                    tracing::info!(error = error.message(), context = error.log_context(), "following ends");
                    return None;
                }
            }
        }
        None
    }
}

fn event(id: i64, name: &str, thing: &impl Serialize) -> serde_json::Result<Bytes> {
    // One line: JSON as it is written here has no line breaks.
    let data = serde_json::to_string(thing)?;
    Ok(format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into())
}
