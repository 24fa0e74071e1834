//! The ends of jobs, reported to those who wait for them.

use std::{collections::HashSet, pin::Pin};

use futures_util::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use rpc::provisioning::{AwaitedJob, EndedJob};
use saga::Followers;
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::App;

type Ends = Pin<Box<dyn Stream<Item = Result<EndedJob, Status>> + Send>>;

/// The jobs that one caller waits for.
struct Watch {
    followers: Followers,
    asked: Streaming<AwaitedJob>,
    awaited: HashSet<Uuid>,
    ends: FuturesUnordered<BoxFuture<'static, Uuid>>,
}

/// Begins a watch. It ends when the caller stops to ask, or the process stops.
///
/// # Errors
/// None; the signature is that of streams.
pub(crate) fn watch(app: &App, asked: Streaming<AwaitedJob>) -> domain::Result<Ends> {
    let (followers, stop) = (app.followers.clone(), app.followers.clone());
    let watch = Watch { followers, asked, awaited: HashSet::new(), ends: FuturesUnordered::new() };
    let ends = stream::unfold(watch, |mut watch| async {
        let job_id = watch.next().await?.to_string();
        Some((Ok(EndedJob { job_id }), watch))
    });
    Ok(Box::pin(ends.take_until(async move { stop.stopped().await })))
}

impl Watch {
    /// The next job that has ended; none when the caller is gone.
    async fn next(&mut self) -> Option<Uuid> {
        loop {
            tokio::select! {
                asked = self.asked.message() => self.await_end(&asked.ok()??.job_id),
                Some(job) = self.ends.next() => {
                    self.awaited.remove(&job);
                    return Some(job);
                }
            }
        }
    }

    /// One that cannot be awaited is left to the caller, who asks for it from time to time.
    fn await_end(&mut self, job: &str) {
        let Ok(job) = Uuid::parse_str(job) else { return };
        if !self.awaited.insert(job) {
            return;
        }
        match self.followers.wait_for_end(job) {
            Ok(end) => self.ends.push(Box::pin(end)),
            Err(error) => {
                self.awaited.remove(&job);
                tracing::debug!(%job, context = error.log_context(), "the end of the job is not awaited");
            }
        }
    }
}
