//! One job at a time: whose turn it is on a thing. Table `turns`.
//!
//! Jobs that have to wait form a queue, table `turn_queue`, and each waits for the end of the one before it. So the end of
//! a job wakes one other, however many wait.

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

/// How long a job waits that nothing wakes. The end of the job before it does; this is for what no one thought of.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What only one job may work on at a time, and what a newer job would supersede this one for.
pub(crate) struct Subject {
    pub(crate) thing: String,
    pub(crate) replaces: String,
}

/// The jobs that another has to wait for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Wait {
    /// The job that works.
    holder: Uuid,
    /// The job that is next before the one that waits: the holder, or another that waits.
    before: Uuid,
}

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = t::Uuid)]
    job_id: Uuid,
}

/// The condition that the saga of a job is under way.
macro_rules! under_way {
    ($job:literal) => {
        concat!(
            "EXISTS (SELECT FROM sagas WHERE sagas.id = ",
            $job,
            " AND sagas.status IN ('pending', 'running', 'undoing'))"
        )
    };
}

/// Takes the turn on a thing, unless a job that has it still works: then this job is put into the queue. Taken again by
/// the same job, it is taken.
pub(crate) async fn take(app: &App, cx: &StepCx, subject: &Subject) -> Result<Option<Wait>> {
    let ctx = WriteCtx::new(cx.ctx.clone());
    let done = app
        .db
        .tx("job.turn", &ctx, async |tx| {
            let c = tx.advisory_lock(&subject.thing).await?;
            let taken = sql_query(concat!(
                "INSERT INTO turns (thing, job_id) VALUES ($1, $2) \
                 ON CONFLICT (thing) DO UPDATE SET job_id = excluded.job_id \
                 WHERE turns.job_id = excluded.job_id OR NOT ",
                under_way!("turns.job_id"),
            ))
            .bind::<t::Text, _>(&subject.thing)
            .bind::<t::Uuid, _>(cx.saga_id)
            .execute(c)
            .await?;
            leave_queue(c, cx, &subject.thing, taken > 0).await?;
            if taken > 0 { Ok(None) } else { queue_up(c, cx, subject).await }
        })
        .await?;
    Ok(done.value)
}

/// Takes jobs that have ended out of the queue, and this one if it has its turn.
async fn leave_queue(mut c: &Conn, cx: &StepCx, thing: &str, has_turn: bool) -> Result<()> {
    sql_query(concat!(
        "DELETE FROM turn_queue WHERE thing = $1 AND ((job_id = $2 AND $3) OR NOT ",
        under_way!("turn_queue.job_id"),
        ")",
    ))
    .bind::<t::Text, _>(thing)
    .bind::<t::Uuid, _>(cx.saga_id)
    .bind::<t::Bool, _>(has_turn)
    .execute(&mut c)
    .await?;
    Ok(())
}

async fn queue_up(mut c: &Conn, cx: &StepCx, subject: &Subject) -> Result<Option<Wait>> {
    let Some(holder) = holder(c, &subject.thing).await? else { return Ok(None) };
    sql_query("INSERT INTO turn_queue (thing, job_id, replaces) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind::<t::Text, _>(&subject.thing)
        .bind::<t::Uuid, _>(cx.saga_id)
        .bind::<t::Text, _>(&subject.replaces)
        .execute(&mut c)
        .await?;
    // One that a person has paused keeps no other from its turn.
    let before = sql_query(
        "SELECT job_id FROM turn_queue JOIN sagas ON sagas.id = job_id \
         WHERE thing = $1 AND job_id < $2 AND paused_at IS NULL ORDER BY job_id DESC LIMIT 1",
    )
    .bind::<t::Text, _>(&subject.thing)
    .bind::<t::Uuid, _>(cx.saga_id)
    .get_result::<Turn>(&mut c)
    .await
    .optional()?;
    Ok(Some(Wait { holder, before: before.map_or(holder, |turn| turn.job_id) }))
}

async fn holder(mut c: &Conn, thing: &str) -> Result<Option<Uuid>> {
    let found = sql_query("SELECT job_id FROM turns WHERE thing = $1").bind::<t::Text, _>(thing);
    Ok(found.get_result::<Turn>(&mut c).await.optional()?.map(|turn| turn.job_id))
}

/// Whether no other job has worked on `thing` since this one: what it made is still its own to undo.
pub(crate) async fn is_ours(app: &App, cx: &StepCx, thing: &str) -> Result<bool> {
    let holder = app.db.service_read(async |c| holder(c, thing).await).await?;
    Ok(holder == Some(cx.saga_id))
}

/// Has the jobs that wait, and that `job` supersedes, look again now. They wait in vain: what this misses costs time only.
pub(crate) async fn wake_superseded(db: &Db, subject: &Subject, job: Uuid) -> Result<()> {
    sql_query(
        "UPDATE sagas SET next_run_at = now() WHERE next_run_at > now() AND id IN (\
             SELECT job_id FROM turn_queue WHERE thing = $1 AND replaces = $2 AND job_id < $3)",
    )
    .bind::<t::Text, _>(&subject.thing)
    .bind::<t::Text, _>(&subject.replaces)
    .bind::<t::Uuid, _>(job)
    .execute(&mut *db.service_conn().await?)
    .await?;
    Ok(())
}

/// The progress of a step that waits until it is its turn on `thing`.
pub(crate) fn wait_for<T>(wait: Wait, thing: &str) -> Progress<T> {
    let on = WaitingFor::Saga { noun: "job".into(), saga: wait.holder, works_on: thing.to_owned() };
    Progress::Waiting(saga::Wait { on, retry_after: ASK_AGAIN, blocked_by: Some(wait.before) })
}
