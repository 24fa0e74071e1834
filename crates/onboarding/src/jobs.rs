//! The stream on which provisioning reports the ends of the jobs that steps wait for.
//!
//! Each process has one stream. Whenever its engine releases a saga that waits for a job, the process sends the job. When
//! the job has ended, the process makes the waiting steps due. Provisioning reports a job that has already ended at once,
//! and a new stream starts with all jobs that any saga waits for, so no end is missed while the stream is connected. The
//! steps also run again after a fixed time, so the stream only shortens waits.

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

/// The retry interval of a step whose job's end will be reported.
const FALLBACK_INTERVAL: Duration = Duration::from_secs(5);
/// Capacity of the channel to provisioning.
const CHANNEL_CAPACITY: usize = 64;

/// True while provisioning reports the ends of jobs. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobEnds(Arc<AtomicBool>);

impl JobEnds {
    /// Creates a wait for a job or for its result. The step must have seen that the job has not ended; otherwise the
    /// step would be due again at once, for as long as it waits.
    pub(crate) fn wait(&self, cx: &StepCx, on: WaitingFor) -> Wait {
        let reported = on.job().is_some() && self.0.load(Ordering::Relaxed);
        Wait::new(on, if reported { FALLBACK_INTERVAL } else { cx.poll_backoff() })
    }
}

/// Starts the task that keeps the stream connected. `awaited` receives the jobs that the engine's sagas wait for.
pub(crate) fn start(app: &App, awaited: mpsc::Receiver<Uuid>, shutdown: &Shutdown) {
    let (app, stop) = (app.clone(), shutdown.clone());
    shutdown.spawn(async move {
        let awaited = Mutex::new(awaited);
        let lost = |cause: &Error| {
            tracing::debug!(cause = cause.log_context(), "provisioning does not report the ends of jobs");
            app.job_ends.0.swap(false, Ordering::Relaxed)
        };
        tokio::select! {
            never = watch::watch_forever(|| run_stream(&app, &awaited), lost) => match never {},
            () = stop.begun() => {}
        }
    });
}

/// Runs one stream until it is lost.
async fn run_stream(app: &App, awaited: &Mutex<mpsc::Receiver<Uuid>>) -> Result<Infallible> {
    let (send, messages) = mpsc::channel::<AwaitedJob>(CHANNEL_CAPACITY);
    let ctx = Ctx::for_service("onboarding", id::uuid_v7().to_string());
    let ends = app.provisioning.stream(&ctx, ReceiverStream::new(messages)).await?;
    app.job_ends.0.store(true, Ordering::Relaxed);
    tracing::info!("provisioning reports the ends of jobs");
    let mut awaited = awaited.lock().await;
    tokio::select! {
        lost = send_awaited_jobs(app, &mut awaited, &send) => lost,
        lost = receive_ends(app, ends) => lost,
    }
}

/// Sends the jobs that sagas wait for: first those of all processes, from the database, then new ones of this process.
async fn send_awaited_jobs(
    app: &App,
    awaited: &mut mpsc::Receiver<Uuid>,
    send: &mpsc::Sender<AwaitedJob>,
) -> Result<Infallible> {
    // Jobs received until now are in the database.
    while awaited.try_recv().is_ok() {}
    let gone = |error: &dyn std::fmt::Display| Error::service_unavailable("provisioning", error);
    let send = async |job: Uuid| {
        send.send(AwaitedJob { job_id: job.to_string() }).await.map_err(|error| gone(&error))
    };
    for job in app.db.service_read(async |c| saga::awaited_jobs(c).await).await? {
        send(job).await?;
    }
    loop {
        send(awaited.recv().await.ok_or_else(|| gone(&"the engine has stopped"))?).await?;
    }
}

/// Makes the steps due whose jobs have ended.
async fn receive_ends(app: &App, mut ends: Streaming<EndedJob>) -> Result<Infallible> {
    loop {
        let EndedJob { job_id } = watch::next("provisioning", &mut ends).await?;
        let job = rpc::parse_uuid("job_id", &job_id)?;
        saga::wake_job_waiters(&*app.db.service_conn().await?, job).await?;
        app.wake.notify_one();
    }
}
