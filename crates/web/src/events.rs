//! Server-sent events that follow an object: its current state, sent again after every change.
//!
//! Each event contains the whole object, and its id is the object's revision. A client that reconnects with the id of
//! its last event therefore misses no current state, whichever process it reconnects to.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Bytes};
use domain::{Error, Result};
use futures_util::stream;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use tokio::sync::watch;

use super::HttpResult;

/// Interval between comments that keep the connection alive, so that no proxy closes it as idle.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// The state of an object at one revision.
#[derive(Debug)]
pub struct Snapshot<T> {
    pub value: T,
    /// Increases with every change of the object.
    pub revision: i64,
    /// True if the object has reached a final state.
    pub ended: bool,
}

/// Notifications about changes of an object.
#[derive(Debug)]
pub struct Changes {
    pub revisions: watch::Receiver<i64>,
    /// The shutdown that ends the stream.
    pub stop: Shutdown,
}

/// Responds with events: the result of `read`, now and after each change. The stream ends with the final state. A
/// client that has already received it gets 204.
///
/// # Errors
/// Those of `read`; [`domain::Kind::Validation`] when `Last-Event-ID` is not an id of an event.
pub async fn follow<T, R>(request: &HttpRequest, changes: Changes, read: R) -> HttpResult
where
    T: Serialize + 'static,
    R: AsyncFn() -> Result<Snapshot<T>> + 'static,
{
    let last_revision = last_event_id(request)?;
    let current = read().await?;
    if current.ended && last_revision.is_some_and(|last| last >= current.revision) {
        return Ok(HttpResponse::NoContent().finish());
    }
    let follower = Follower { changes, read, last_revision, next: Some(current), ended: false };
    let pieces = stream::unfold(follower, |follower| async { follower.next_piece().await });
    Ok(HttpResponse::Ok().content_type("text/event-stream").streaming(pieces))
}

fn last_event_id(request: &HttpRequest) -> Result<Option<i64>> {
    let Some(value) = request.headers().get("last-event-id") else { return Ok(None) };
    let revision = value.to_str().ok().and_then(|text| text.parse().ok());
    revision.map(Some).ok_or_else(|| Error::invalid("Last-Event-ID", "must be the id of a received event"))
}

/// A client that follows an object.
struct Follower<T, R> {
    changes: Changes,
    read: R,
    /// The revision that was sent last.
    last_revision: Option<i64>,
    /// The snapshot to send, unless the client has already received its revision.
    next: Option<Snapshot<T>>,
    ended: bool,
}

impl<T: Serialize, R: AsyncFn() -> Result<Snapshot<T>>> Follower<T, R> {
    /// Waits for the next piece of the response. `None` ends the response.
    async fn next_piece(mut self) -> Option<(serde_json::Result<Bytes>, Self)> {
        while !self.ended {
            if let Some(Snapshot { value, revision, ended }) = self.next.take()
                && self.last_revision.is_none_or(|last| revision > last)
            {
                (self.last_revision, self.ended) = (Some(revision), ended);
                let event = event(revision, if ended { "end" } else { "change" }, &value);
                return Some((event, self));
            }
            tokio::select! {
                changed = self.changes.revisions.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => {
                    return Some((Ok(Bytes::from_static(b": nothing new\n\n")), self));
                }
                () = self.changes.stop.begun() => return None,
            }
            match (self.read)().await {
                Ok(snapshot) => self.next = Some(snapshot),
                // The client reconnects and then gets the error as its response.
                Err(error) => {
                    tracing::info!(
                        error = error.message(),
                        context = error.log_context(),
                        "ended an event stream"
                    );
                    return None;
                }
            }
        }
        None
    }
}

fn event(id: i64, name: &str, value: &impl Serialize) -> serde_json::Result<Bytes> {
    // Compact JSON contains no line breaks, so it fits on one `data` line.
    let data = serde_json::to_string(value)?;
    Ok(format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into())
}
