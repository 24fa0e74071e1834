//! Locks that jobs hold until they end, in the table `turns`, so that only one job at a time changes an object.
//!
//! Waiting jobs form a queue in the table `turn_queue`. Each waits for the end of the job before it, so the end of a
//! job wakes only one other.

use std::time::Duration;

use database::{Conn, Db};
use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::Result;
use identity::WriteCtx;
use saga::{Progress, StepCx, WaitingFor};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::App;

/// Interval at which a waiting job retries. Usually the end of the job before it wakes it earlier.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Lock that a job needs.
pub(crate) struct LockRequest {
    /// Key of the object that only one job may change at a time.
    pub(crate) lock_key: String,
    /// A newer job with the same lock and the same value here supersedes a waiting one.
    pub(crate) replaces: String,
}

/// Jobs that a queued job waits for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LockWait {
    /// The job that holds the lock.
    holder: Uuid,
    /// The job directly before the waiting one: the holder, or another waiting job.
    before: Uuid,
}

#[derive(QueryableByName)]
struct JobRow {
    #[diesel(sql_type = t::Uuid)]
    job_id: Uuid,
}

/// SQL condition that the saga of a job is in progress.
macro_rules! in_progress {
    ($job:literal) => {
        concat!(
            "EXISTS (SELECT FROM sagas WHERE sagas.id = ",
            $job,
            " AND sagas.status IN ('pending', 'running', 'undoing'))"
        )
    };
}

/// Acquires a lock, or puts the job into the queue if a running job holds it. Acquiring it again in the same job
/// succeeds.
pub(crate) async fn acquire(app: &App, cx: &StepCx, request: &LockRequest) -> Result<Option<LockWait>> {
    let ctx = WriteCtx::new(cx.ctx.clone());
    let done = app
        .db
        .tx("job.lock", &ctx, async |tx| {
            let c = tx.advisory_lock(&request.lock_key).await?;
            let rows = sql_query(concat!(
                "INSERT INTO turns (thing, job_id) VALUES ($1, $2) \
                 ON CONFLICT (thing) DO UPDATE SET job_id = excluded.job_id \
                 WHERE turns.job_id = excluded.job_id OR NOT ",
                in_progress!("turns.job_id"),
            ))
            .bind::<t::Text, _>(&request.lock_key)
            .bind::<t::Uuid, _>(cx.saga_id)
            .execute(c)
            .await?;
            let acquired = rows > 0;
            leave_queue(c, cx, &request.lock_key, acquired).await?;
            if acquired { Ok(None) } else { enqueue(c, cx, request).await }
        })
        .await?;
    Ok(done.value)
}

/// Removes ended jobs from the queue, and this job if it holds the lock.
async fn leave_queue(mut c: &Conn, cx: &StepCx, lock_key: &str, acquired: bool) -> Result<()> {
    sql_query(concat!(
        "DELETE FROM turn_queue WHERE thing = $1 AND ((job_id = $2 AND $3) OR NOT ",
        in_progress!("turn_queue.job_id"),
        ")",
    ))
    .bind::<t::Text, _>(lock_key)
    .bind::<t::Uuid, _>(cx.saga_id)
    .bind::<t::Bool, _>(acquired)
    .execute(&mut c)
    .await?;
    Ok(())
}

async fn enqueue(mut c: &Conn, cx: &StepCx, request: &LockRequest) -> Result<Option<LockWait>> {
    let Some(holder) = holder(c, &request.lock_key).await? else { return Ok(None) };
    sql_query("INSERT INTO turn_queue (thing, job_id, replaces) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind::<t::Text, _>(&request.lock_key)
        .bind::<t::Uuid, _>(cx.saga_id)
        .bind::<t::Text, _>(&request.replaces)
        .execute(&mut c)
        .await?;
    // A paused job does not block the jobs behind it.
    let before = sql_query(
        "SELECT job_id FROM turn_queue JOIN sagas ON sagas.id = job_id \
         WHERE thing = $1 AND job_id < $2 AND paused_at IS NULL ORDER BY job_id DESC LIMIT 1",
    )
    .bind::<t::Text, _>(&request.lock_key)
    .bind::<t::Uuid, _>(cx.saga_id)
    .get_result::<JobRow>(&mut c)
    .await
    .optional()?;
    Ok(Some(LockWait { holder, before: before.map_or(holder, |row| row.job_id) }))
}

async fn holder(mut c: &Conn, lock_key: &str) -> Result<Option<Uuid>> {
    let found = sql_query("SELECT job_id FROM turns WHERE thing = $1").bind::<t::Text, _>(lock_key);
    Ok(found.get_result::<JobRow>(&mut c).await.optional()?.map(|row| row.job_id))
}

/// Returns true if this job was the last to acquire the lock, so that it may undo its changes.
pub(crate) async fn is_holder(app: &App, cx: &StepCx, lock_key: &str) -> Result<bool> {
    let holder = app.db.service_read(async |c| holder(c, lock_key).await).await?;
    Ok(holder == Some(cx.saga_id))
}

/// Wakes the waiting jobs that `job` supersedes, so that they end now. A job that this misses ends at its next retry.
pub(crate) async fn wake_superseded(db: &Db, request: &LockRequest, job: Uuid) -> Result<()> {
    sql_query(
        "UPDATE sagas SET next_run_at = now() WHERE next_run_at > now() AND id IN (\
             SELECT job_id FROM turn_queue WHERE thing = $1 AND replaces = $2 AND job_id < $3)",
    )
    .bind::<t::Text, _>(&request.lock_key)
    .bind::<t::Text, _>(&request.replaces)
    .bind::<t::Uuid, _>(job)
    .execute(&mut *db.service_conn().await?)
    .await?;
    Ok(())
}

/// Returns the progress of a step that waits for a lock. `object` names what the holder of the lock works on.
pub(crate) fn wait_for<T>(wait: LockWait, object: &str) -> Progress<T> {
    let on = WaitingFor::Saga { noun: "job".into(), saga: wait.holder, works_on: object.to_owned() };
    Progress::Waiting(saga::Wait { on, retry_after: RETRY_INTERVAL, blocked_by: Some(wait.before) })
}
