//! One job at a time: whose turn it is on a thing. Table `turns`.

use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::Result;
use kit::{WriteCtx, db::Conn};
use saga::{Progress, StepCx};
use uuid::Uuid;

use crate::App;

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = t::Uuid)]
    job_id: Uuid,
}

/// Takes the turn on `thing`, unless a job that has it still works: that one is answered. Taken again by the same job, it
/// is taken.
pub(crate) async fn take(app: &App, cx: &StepCx, thing: &str) -> Result<Option<Uuid>> {
    let ctx = WriteCtx::of(cx.ctx.clone());
    let done = app
        .db
        .tx("job.turn", &ctx, async |tx| {
            let c = tx.hold(thing).await?;
            let taken = sql_query(
                "INSERT INTO turns (thing, job_id) VALUES ($1, $2) \
                 ON CONFLICT (thing) DO UPDATE SET job_id = excluded.job_id \
                 WHERE turns.job_id = excluded.job_id OR NOT EXISTS (SELECT FROM sagas \
                     WHERE sagas.id = turns.job_id AND sagas.status IN ('pending', 'running', 'undoing'))",
            )
            .bind::<t::Text, _>(thing)
            .bind::<t::Uuid, _>(cx.saga_id)
            .execute(c)
            .await?;
            if taken > 0 { Ok(None) } else { holder(c, thing).await }
        })
        .await?;
    Ok(done.value)
}

async fn holder(mut c: &Conn, thing: &str) -> Result<Option<Uuid>> {
    let found = sql_query("SELECT job_id FROM turns WHERE thing = $1").bind::<t::Text, _>(thing);
    Ok(found.get_result::<Turn>(&mut c).await.optional()?.map(|turn| turn.job_id))
}

/// Whether no other job has worked on `thing` since this one: what it made is still its own to undo.
pub(crate) async fn is_ours(app: &App, cx: &StepCx, thing: &str) -> Result<bool> {
    let holder = app.db.own_read(async |c| holder(c, thing).await).await?;
    Ok(holder == Some(cx.saga_id))
}

/// What a step comes to that waits until `job` has had its turn on `thing`.
pub(crate) fn wait_for(job: Uuid, thing: &str, cx: &StepCx) -> Progress {
    Progress::Waiting { on: format!("job {job}, which works on {thing}"), ask_again: cx.patience() }
}

/// The job that a step says it [waits for](wait_for).
pub(crate) fn waited_for(says: &str) -> Option<Uuid> {
    let (id, _) = says.strip_prefix("job ")?.split_once(',')?;
    Uuid::parse_str(id).ok()
}
