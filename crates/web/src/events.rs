//! Following a thing: what a person sees of it, sent anew whenever it has changed, as server-sent events.
//!
//! An event is the whole thing as it stands, and its id is the thing's revision. So whoever comes back with the id that
//! they saw last has missed nothing that still holds, whichever process they come back to.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Bytes};
use domain::{Error, Result};
use futures_util::stream;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use tokio::sync::watch;

use super::HttpResult;

/// A sign of life, so that nothing on the way takes a silent line for a dead one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// A thing as it stands.
#[derive(Debug)]
pub struct Snapshot<T> {
    pub thing: T,
    /// Grows with every change of it.
    pub revision: i64,
    /// Whether nothing more will become of it by itself.
    pub ended: bool,
}

/// Tells when a thing has come to another revision.
#[derive(Debug)]
pub struct Changes {
    pub revisions: watch::Receiver<i64>,
    /// Whoever follows is let go then.
    pub stop: Shutdown,
}

/// Answers with events: what `read` gives, now and after each change. It ends with what it has come to; a client that
/// has seen that is told that there is nothing more (204).
///
/// # Errors
/// Those of `read`; [`domain::Kind::Validation`] when `Last-Event-ID` is none of ours.
pub async fn follow<T, R>(request: &HttpRequest, changes: Changes, read: R) -> HttpResult
where
    T: Serialize + 'static,
    R: AsyncFn() -> Result<Snapshot<T>> + 'static,
{
    let seen = last_seen(request)?;
    let now = read().await?;
    if now.ended && seen.is_some_and(|seen| seen >= now.revision) {
        return Ok(HttpResponse::NoContent().finish());
    }
    let line = Line { changes, read, seen, next: Some(now), over: false };
    let pieces = stream::unfold(line, |line| async { line.piece().await });
    Ok(HttpResponse::Ok().content_type("text/event-stream").streaming(pieces))
}

fn last_seen(request: &HttpRequest) -> Result<Option<i64>> {
    let Some(value) = request.headers().get("last-event-id") else { return Ok(None) };
    let seen = value.to_str().ok().and_then(|text| text.parse().ok());
    seen.map(Some).ok_or_else(|| Error::invalid("Last-Event-ID", "must be the id of an event that was sent"))
}

/// One who follows.
struct Line<T, R> {
    changes: Changes,
    read: R,
    /// The revision that was sent last.
    seen: Option<i64>,
    /// What was read and may be new to them.
    next: Option<Snapshot<T>>,
    over: bool,
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
                changed = self.changes.revisions.changed() => changed.ok()?,
                () = tokio::time::sleep(SIGN_OF_LIFE) => {
                    return Some((Ok(Bytes::from_static(b": nothing new\n\n")), self));
                }
                () = self.changes.stop.begun() => return None,
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
