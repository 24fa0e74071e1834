//! Operations on jobs.

use std::collections::HashMap;

use database::{Conn, Record};
use domain::{
    Error, Kind, PlatformId, Result,
    job::{JobStatus, JobType},
};
use identity::{Ctx, Done, Scope, WriteCtx};
use saga::{
    Cancel, Discard, NewSaga, Operation, Pause, Resume, Retry, Saga, StepRow, Supports,
    api::{self, SagaResource},
};
use serde_json::Value;
use uuid::Uuid;

use super::model::Job;
use crate::{App, steps};

/// Job to record.
#[derive(Debug, Clone)]
pub(crate) struct NewJob<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: JobType,
    pub(crate) platform: &'a PlatformId,
    pub(crate) input: Value,
    /// Fairness key: when more jobs wait than can run, the keys are served in turn.
    pub(crate) fairness_key: &'a str,
}

/// Records a job under an id that the caller chose. Returns the existing job if the id is known.
pub(crate) async fn enqueue(app: &App, ctx: &WriteCtx, new: NewJob<'_>) -> Result<Done<Job>> {
    let NewJob { id, kind, platform, input, fairness_key } = new;
    // Services poll a job by repeating the request, so the existing job is read first.
    match get(app, ctx, id).await {
        Ok(job) => return Ok(Done { value: job, replayed: true, dry_run: false }),
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    let definition = steps::definition(kind);
    steps::check_input(kind, &input)?;
    let done = app
        .db
        .tx("job.enqueue", ctx, async |tx| {
            let new = NewSaga {
                id,
                subject: platform.to_string(),
                input: input.clone(),
                deadline: None,
                fairness_key: fairness_key.to_owned(),
            };
            let (saga, rows) = new.rows(&definition, ctx);
            let job = Job::of(&saga, &rows)?;
            let record =
                Record::change("job.queued", "job", id).in_platform(platform).after(&job).count(COUNTER, 1);
            let change = (saga::insert(saga), saga::insert_steps(rows));
            tx.finish(change, record, job, |constraint| is_duplicate(constraint).then(|| already_exists(id)))
                .await
        })
        .await;
    match done {
        Err(error) if error.kind() == Kind::AlreadyExists => {
            let job = get(app, ctx, id).await?;
            Ok(Done { value: job, replayed: true, dry_run: false })
        }
        done => {
            if let Ok(Done { value: job, dry_run: false, .. }) = &done
                && let Err(error) = steps::wake_superseded(app, job).await
            {
                let (error, context) = (error.message(), error.log_context());
                tracing::warn!(
                    error,
                    context,
                    "could not wake superseded jobs; they end at their next retry"
                );
            }
            app.wake.notify_one();
            done
        }
    }
}

/// Counter of all jobs.
pub(crate) const COUNTER: &str = "jobs";

/// Returns true if the constraint says that the job exists. PostgreSQL may report either one.
fn is_duplicate(constraint: &str) -> bool {
    matches!(constraint, "sagas_pkey" | "saga_steps_pkey")
}

fn already_exists(id: Uuid) -> Error {
    Error::new(Kind::AlreadyExists, format!("Job '{id}' already exists."))
}

/// Returns a job with its steps.
pub(crate) async fn get(app: &App, ctx: &Ctx, id: Uuid) -> Result<Job> {
    api::get(&app.db, ctx, id).await
}

/// Pauses, resumes, retries or cancels a job.
pub(crate) async fn apply<V: Operation>(app: &App, ctx: &WriteCtx, id: Uuid, verb: V) -> Result<Done<Job>>
where
    Job: Supports<V>,
{
    saga::apply_operation(&app.db, &app.wake, ctx, id, verb).await
}

/// Discards a stopped job. Reports it to the registry first, so that the objects that wait for the job can be requested
/// again.
pub(crate) async fn discard(app: &App, ctx: &WriteCtx, id: Uuid, reason: &str) -> Result<Done<Job>> {
    let job = get(app, ctx, id).await?;
    if job.status == JobStatus::Failed && !ctx.dry_run {
        ctx.check_match(&job)?;
        steps::report_abandoned(app, ctx, &job, reason).await?;
    }
    apply(app, ctx, id, Discard(reason)).await
}

/// Cancels a job for a service. If the request arrives before the job, the job never begins.
pub(crate) async fn cancel_once(
    app: &App,
    ctx: &WriteCtx,
    id: Uuid,
    kind: JobType,
    platform: &PlatformId,
    reason: &str,
) -> Result<Job> {
    app.db
        .tx("job.cancel_once", ctx, async |tx| {
            let c = tx.conn().await?;
            if saga::tombstone(c, ctx, id, kind.as_str(), platform.as_str(), reason).await? {
                // The tombstone appears in the list of jobs, so it is counted.
                return tx
                    .finish(database::NoEffect, Record::default().count(COUNTER, 1), (), |_| None)
                    .await;
            }
            saga::request_undo(c, id, reason).await?;
            Ok(())
        })
        .await?;
    app.wake.notify_one();
    get(app, ctx, id).await
}

impl SagaResource for Job {
    const NAME: &'static str = "job";
    const COUNTER: &'static str = COUNTER;

    type Row = ();
    type Status = JobStatus;

    async fn row(_: &Conn, _: &Scope, _: Uuid) -> Result<()> {
        Ok(())
    }

    async fn rows(_: &Conn, _: &Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, ()>> {
        Ok(ids.iter().map(|id| (*id, ())).collect())
    }

    /// Always succeeds: the operations on jobs are declared for operators only.
    fn check_access(_: &Ctx, (): &()) -> Result<()> {
        Ok(())
    }

    fn from_saga((): (), saga: &Saga, steps: &[StepRow]) -> Result<Self> {
        Self::of(saga, steps)
    }

    fn status_of(saga: &Saga) -> JobStatus {
        saga.status.into()
    }

    fn platform(&self) -> &PlatformId {
        &self.platform_id
    }
}

/// Name of the transaction that changes the state of a job.
const CHANGE: &str = "job.change";

impl Supports<Pause> for Job {
    const TRANSACTION: &'static str = CHANGE;
    const ACTION: &'static str = "job.paused";
    const REJECTION: &'static str = "Only a running job that is not paused can be paused.";
}

impl Supports<Resume> for Job {
    const TRANSACTION: &'static str = CHANGE;
    const ACTION: &'static str = "job.resumed";
    const REJECTION: &'static str = "Only a paused job can be resumed.";
}

impl Supports<Retry> for Job {
    const TRANSACTION: &'static str = CHANGE;
    const ACTION: &'static str = "job.retried";
    const REJECTION: &'static str = "Only a FAILED job can be retried.";
}

impl Supports<Cancel<'_>> for Job {
    const TRANSACTION: &'static str = CHANGE;
    const ACTION: &'static str = "job.cancelled";
    const REJECTION: &'static str = "A job that has ended cannot be cancelled.";
}

impl Supports<Discard<'_>> for Job {
    const TRANSACTION: &'static str = CHANGE;
    const ACTION: &'static str = "job.discarded";
    const REJECTION: &'static str = "Only a FAILED job can be discarded.";
}
