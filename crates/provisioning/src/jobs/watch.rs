//! Stream that reports the ends of jobs to the services that wait for them.

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

/// Jobs that one caller waits for.
struct Watch {
    followers: Followers,
    requests: Streaming<AwaitedJob>,
    awaited: HashSet<Uuid>,
    ends: FuturesUnordered<BoxFuture<'static, Uuid>>,
}

/// Begins a watch. It ends when the caller closes its stream or the process stops.
///
/// # Errors
/// None. The signature is that of stream handlers.
pub(crate) fn watch(app: &App, requests: Streaming<AwaitedJob>) -> domain::Result<Ends> {
    let (followers, stop) = (app.followers.clone(), app.followers.clone());
    let watch = Watch { followers, requests, awaited: HashSet::new(), ends: FuturesUnordered::new() };
    let ends = stream::unfold(watch, |mut watch| async {
        let job_id = watch.next().await?.to_string();
        Some((Ok(EndedJob { job_id }), watch))
    });
    Ok(Box::pin(ends.take_until(async move { stop.stopped().await })))
}

impl Watch {
    /// Returns the next job that ended, or `None` if the caller closed its stream.
    async fn next(&mut self) -> Option<Uuid> {
        loop {
            tokio::select! {
                request = self.requests.message() => self.await_end(&request.ok()??.job_id),
                Some(job) = self.ends.next() => {
                    self.awaited.remove(&job);
                    return Some(job);
                }
            }
        }
    }

    /// Waits for the end of a job. Ignores a job that cannot be awaited; the caller polls it from time to time.
    fn await_end(&mut self, job: &str) {
        let Ok(job) = Uuid::parse_str(job) else { return };
        if !self.awaited.insert(job) {
            return;
        }
        match self.followers.wait_for_end(job) {
            Ok(end) => self.ends.push(Box::pin(end)),
            Err(error) => {
                self.awaited.remove(&job);
                tracing::debug!(%job, context = error.log_context(), "cannot await the end of the job");
            }
        }
    }
}
