//! What can be done with jobs.

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

/// A job that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct NewJob<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: JobType,
    pub(crate) platform: &'a PlatformId,
    pub(crate) input: Value,
    /// The key by which the engine shares its runners fairly among jobs.
    pub(crate) fairness_key: &'a str,
}

/// Records a job under an id that the caller chose; one that is there already is given.
pub(crate) async fn enqueue(app: &App, ctx: &WriteCtx, new: NewJob<'_>) -> Result<Done<Job>> {
    let NewJob { id, kind, platform, input, fairness_key } = new;
    // Asked again, which is how a service waits for a job, it costs a read.
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
            tx.finish(change, record, job, |constraint| is_there(constraint).then(|| there(id))).await
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
                tracing::warn!(error, context, "superseded jobs wait until it is their turn");
            }
            app.wake.notify_one();
            done
        }
    }
}

/// Counter of all jobs.
pub(crate) const COUNTER: &str = "jobs";

/// Which of the two is met first is not said.
fn is_there(constraint: &str) -> bool {
    matches!(constraint, "sagas_pkey" | "saga_steps_pkey")
}

fn there(id: Uuid) -> Error {
    Error::new(Kind::AlreadyExists, format!("job '{id}' is there already"))
}

/// A job with its steps.
pub(crate) async fn get(app: &App, ctx: &Ctx, id: Uuid) -> Result<Job> {
    api::get(&app.db, ctx, id).await
}

/// Pauses a job, has it go on, retries or cancels it.
pub(crate) async fn steer<V: Operation>(app: &App, ctx: &WriteCtx, id: Uuid, verb: V) -> Result<Done<Job>>
where
    Job: Supports<V>,
{
    saga::apply_operation(&app.db, &app.wake, ctx, id, verb).await
}

/// Ends a job that stopped, as it stands. The registry is told first: what waits for the job can be asked for again.
pub(crate) async fn discard(app: &App, ctx: &WriteCtx, id: Uuid, why: &str) -> Result<Done<Job>> {
    let job = get(app, ctx, id).await?;
    if job.status == JobStatus::Failed && !ctx.dry_run {
        ctx.check_match(&job)?;
        steps::give_up(app, ctx, &job, why).await?;
    }
    steer(app, ctx, id, Discard(why)).await
}

/// Cancels a job for a service, whose request may come before the job does: it is then never begun.
pub(crate) async fn cancel_once(
    app: &App,
    ctx: &WriteCtx,
    id: Uuid,
    kind: JobType,
    platform: &PlatformId,
    why: &str,
) -> Result<Job> {
    app.db
        .tx("job.cancel_once", ctx, async |tx| {
            let c = tx.conn().await?;
            if saga::tombstone(c, ctx, id, kind.as_str(), platform.as_str(), why).await? {
                // It is in the list of jobs like any other.
                return tx
                    .finish(database::NoEffect, Record::default().count(COUNTER, 1), (), |_| None)
                    .await;
            }
            saga::request_undo(c, id, why).await?;
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

    /// Its operations are declared for operators.
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

/// The name of the transaction that steers a job.
const STEER: &str = "job.change";

impl Supports<Pause> for Job {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "job.paused";
    const REJECTION: &'static str = "only a job that is under way, and does not rest, can be paused";
}

impl Supports<Resume> for Job {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "job.resumed";
    const REJECTION: &'static str = "only a job that was paused can be resumed";
}

impl Supports<Retry> for Job {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "job.retried";
    const REJECTION: &'static str = "only a FAILED job can be retried";
}

impl Supports<Cancel<'_>> for Job {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "job.cancelled";
    const REJECTION: &'static str = "a job that has ended cannot be cancelled";
}

impl Supports<Discard<'_>> for Job {
    const TRANSACTION: &'static str = STEER;
    const ACTION: &'static str = "job.discarded";
    const REJECTION: &'static str = "only a FAILED job can be discarded";
}
