//! One job at a time: whose turn it is on a thing. Table `turns`.

use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::Result;
use kit::WriteCtx;
use saga::{Progress, StepCx};
use uuid::Uuid;

use crate::App;

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = t::Uuid)]
    job_id: Uuid,
}

/// Takes the turn on `thing`, unless a job that has it still works. Taken again by the same job, it is taken.
pub(crate) async fn take(app: &App, cx: &StepCx, thing: &str) -> Result<bool> {
    let ctx = WriteCtx::of(cx.ctx.clone());
    let done = app
        .db
        .tx("job.turn", &ctx, async |tx| {
            let c = tx.conn().await?;
            // The statement after this one sees what whoever asked before has done.
            sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                .bind::<t::Text, _>(thing)
                .execute(c)
                .await?;
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
            Ok(taken > 0)
        })
        .await?;
    Ok(done.value)
}

/// Whether no other job has worked on `thing` since this one: what it made is still its own to undo.
pub(crate) async fn is_ours(app: &App, cx: &StepCx, thing: &str) -> Result<bool> {
    let turn: Option<Turn> = app
        .db
        .read(async |c| {
            let found = sql_query("SELECT job_id FROM turns WHERE thing = $1").bind::<t::Text, _>(thing);
            Ok(found.get_result(c).await.optional()?)
        })
        .await?;
    Ok(turn.is_some_and(|turn| turn.job_id == cx.saga_id))
}

/// What a step comes to whose turn it is not.
pub(crate) fn wait_for(whom: &str, cx: &StepCx) -> Progress {
    Progress::Waiting { on: whom.to_owned(), ask_again: cx.patience() }
}
