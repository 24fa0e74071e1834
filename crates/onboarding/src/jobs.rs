//! Jobs of provisioning that steps wait for: provisioning reports their ends.
//!
//! Each process holds one stream. Whenever its engine lets go of a saga that waits for a job, it sends the job; when the
//! job has ended, the steps that wait for it are asked again. A job that ended before it was sent is reported at once, and
//! a new stream begins with all jobs that any saga waits for. So nothing is missed while the stream is there. Steps are
//! asked again after a time in any case, so nothing depends on it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{Error, Result, id};
use identity::Ctx;
use rpc::{
    provisioning::{AwaitedJob, EndedJob},
    watch,
};
use runtime::shutdown::Shutdown;
use saga::{StepCx, Wait, WaitingFor};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

use crate::App;

/// The time after which a step is asked again whose job's end would be reported.
const IN_ANY_CASE: Duration = Duration::from_secs(5);
/// Jobs that may be on their way to provisioning.
const UNDER_WAY: usize = 64;

/// A flag that is set while provisioning reports the ends of jobs. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobEnds(Arc<AtomicBool>);

impl JobEnds {
    /// A wait for a job, or for what the job brings about. The step has seen that the job has not ended: else it would be
    /// asked again at once, for as long as it waits.
    pub(crate) fn wait(&self, cx: &StepCx, on: WaitingFor) -> Wait {
        let reported = on.job().is_some() && self.0.load(Ordering::Relaxed);
        Wait::new(on, if reported { IN_ANY_CASE } else { cx.poll_backoff() })
    }
}

/// Holds the stream until the process stops; `waits` receives the jobs that the engine's sagas wait for.
pub(crate) fn start(app: &App, waits: mpsc::Receiver<Uuid>, shutdown: &Shutdown) {
    let (app, stop) = (app.clone(), shutdown.clone());
    shutdown.spawn(async move {
        let waits = Mutex::new(waits);
        let lost = |cause: &Error| {
            tracing::debug!(cause = cause.log_context(), "provisioning does not report the ends of jobs");
            app.job_ends.0.swap(false, Ordering::Relaxed)
        };
        tokio::select! {
            never = watch::watch_forever(|| hold(&app, &waits), lost) => match never {},
            () = stop.begun() => {}
        }
    });
}

/// One stream, until it is lost.
async fn hold(app: &App, waits: &Mutex<mpsc::Receiver<Uuid>>) -> Result<Infallible> {
    let (send, messages) = mpsc::channel::<AwaitedJob>(UNDER_WAY);
    let ctx = Ctx::for_service("onboarding", id::uuid_v7().to_string());
    let ends = app.provisioning.stream(&ctx, ReceiverStream::new(messages)).await?;
    app.job_ends.0.store(true, Ordering::Relaxed);
    tracing::info!("provisioning reports the ends of jobs");
    let mut waits = waits.lock().await;
    tokio::select! {
        lost = report(app, &mut waits, &send) => lost,
        lost = hear(app, ends) => lost,
    }
}

/// Sends the jobs that sagas wait for: first those of all processes, as rows tell them, then those that are new here.
async fn report(
    app: &App,
    waits: &mut mpsc::Receiver<Uuid>,
    send: &mpsc::Sender<AwaitedJob>,
) -> Result<Infallible> {
    // What was reported until now is in the rows.
    while waits.try_recv().is_ok() {}
    let gone = |error: &dyn std::fmt::Display| Error::unavailable("provisioning", error);
    let send = async |job: Uuid| {
        send.send(AwaitedJob { job_id: job.to_string() }).await.map_err(|error| gone(&error))
    };
    for job in app.db.service_read(async |c| saga::awaited_jobs(c).await).await? {
        send(job).await?;
    }
    loop {
        send(waits.recv().await.ok_or_else(|| gone(&"the engine is gone"))?).await?;
    }
}

/// Has steps asked again whose jobs have ended.
async fn hear(app: &App, mut ends: Streaming<EndedJob>) -> Result<Infallible> {
    loop {
        let EndedJob { job_id } = watch::next("provisioning", &mut ends).await?;
        let job = rpc::parse_uuid("job_id", &job_id)?;
        saga::wake_job_waiters(&*app.db.service_conn().await?, job).await?;
        app.wake.notify_one();
    }
}
