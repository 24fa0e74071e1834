//! The statements of sagas.

use std::time::Duration;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
    sql_query, sql_types as t,
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Limit, Result};
use kit::{Ctx, Scope, clock, db::Conn};
use uuid::Uuid;

use crate::{
    Saga, SagaStatus, StepRow,
    schema::{saga_steps, sagas},
};

/// A saga with its steps, in order.
#[derive(Debug, Clone)]
pub struct Told {
    pub saga: Saga,
    pub steps: Vec<StepRow>,
}

/// The insert of a saga; with [`insert_steps`] part of the statement that makes it.
pub fn insert(row: Saga) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(sagas::table).values(row)
}

/// The insert of a saga's steps.
pub fn insert_steps(rows: Vec<StepRow>) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(saga_steps::table).values(rows)
}

/// A saga and its steps: one round trip.
///
/// # Errors
/// [`domain::Kind::NotFound`].
pub async fn by_id(c: &Conn, thing: &str, id: Uuid) -> Result<Told> {
    let (mut first, mut second) = (c, c);
    let saga = sagas::table.find(id).select(Saga::as_select());
    let steps = saga_steps::table.filter(saga_steps::saga_id.eq(id)).order(saga_steps::position);
    let (saga, steps) = tokio::try_join!(
        async { Ok::<_, Error>(saga.first(&mut first).await.optional()?) },
        async { Ok(steps.select(StepRow::as_select()).load(&mut second).await?) }
    )?;
    Ok(Told { saga: saga.ok_or_else(|| Error::not_found(thing, id))?, steps })
}

/// The steps of several sagas, by saga and position: one statement for a whole page.
///
/// # Errors
/// Those of the database.
pub async fn steps_of(c: &mut Conn, ids: &[Uuid]) -> Result<Vec<StepRow>> {
    Ok(saga_steps::table
        .filter(saga_steps::saga_id.eq_any(ids))
        .order((saga_steps::saga_id, saga_steps::position))
        .select(StepRow::as_select())
        .load(c)
        .await?)
}

/// A page of sagas, newest first, by status and subject if they are given.
///
/// # Errors
/// Those of the database.
pub async fn page(
    c: &mut Conn,
    _: &Scope,
    statuses: &[SagaStatus],
    subject: Option<&str>,
    limit: Limit,
    after: &Cursor,
) -> Result<Vec<Saga>> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let mut rows = sagas::table
        .filter(sagas::created_at.le(after.at))
        .filter(sagas::created_at.lt(after.at).or(sagas::created_at.eq(after.at).and(sagas::id.lt(last))))
        .order((sagas::created_at.desc(), sagas::id.desc()))
        .limit(limit.rows())
        .select(Saga::as_select())
        .into_boxed();
    if let Some(subject) = subject {
        rows = rows.filter(sagas::subject.eq(subject.to_owned()));
    }
    if !statuses.is_empty() {
        rows = rows.filter(sagas::status.eq_any(statuses.to_vec()));
    }
    Ok(rows.load(c).await?)
}

/// Asks for a saga to be undone: a live one by its runner, a completed one from its end. Answers whether there was
/// something to ask.
///
/// # Errors
/// Those of the database.
pub async fn ask_undo(c: &mut Conn, id: Uuid, why: &str) -> Result<bool> {
    let asked = sql_query(
        "UPDATE sagas SET undo_asked = coalesce(undo_asked, $2), next_run_at = now(), updated_at = $3, \
             finished_at = NULL, \
             cause = CASE WHEN status = 'completed' THEN 'cancelled' ELSE cause END, \
             error = CASE WHEN status = 'completed' THEN $2 ELSE error END, \
             status = CASE WHEN status = 'completed' THEN 'undoing' ELSE status END \
         WHERE id = $1 AND status IN ('pending', 'running', 'undoing', 'completed')",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(why)
    .bind::<t::Timestamptz, _>(clock::now())
    .execute(c)
    .await?;
    Ok(asked > 0)
}

/// Has a stuck saga go on where it stopped. Answers whether there was one.
///
/// # Errors
/// Those of the database.
pub async fn retry(c: &mut Conn, id: Uuid) -> Result<bool> {
    let again = sql_query(
        "WITH again AS (UPDATE sagas SET status = CASE WHEN cause IS NULL THEN 'running' ELSE 'undoing' END, \
             next_run_at = now(), finished_at = NULL, updated_at = $2 WHERE id = $1 AND status = 'stuck' RETURNING id, cause), \
         steps AS (UPDATE saga_steps SET undo_attempts = 0, attempts = 0, \
             status = CASE WHEN status = 'failed' AND again.cause IS NULL THEN 'pending' ELSE status END \
             FROM again WHERE saga_id = again.id) \
         SELECT count(*)::bigint AS n FROM again",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Timestamptz, _>(clock::now())
    .get_result::<Count>(c)
    .await?;
    Ok(again.n > 0)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = t::BigInt)]
    n: i64,
}

/// Keeps the id of a saga that is never to begin: a request for it that comes late finds it ended.
///
/// # Errors
/// Those of the database.
pub async fn tombstone(c: &mut Conn, ctx: &Ctx, id: Uuid, kind: &str, subject: &str, why: &str) -> Result<()> {
    sql_query(
        "INSERT INTO sagas (id, kind, version, subject, status, input, error, cause, next_run_at, fence, request_id, \
             created_at, updated_at, finished_at) \
         VALUES ($1, $2, 0, $3, 'undone', '{}', $4, 'cancelled', $5, 0, $6, $5, $5, $5) ON CONFLICT (id) DO NOTHING",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(kind)
    .bind::<t::Text, _>(subject)
    .bind::<t::Text, _>(why)
    .bind::<t::Timestamptz, _>(clock::now())
    .bind::<t::Text, _>(&*ctx.request_id)
    .execute(c)
    .await?;
    Ok(())
}

/// Takes a saga that is due and that no one holds.
pub(crate) async fn claim(c: &mut Conn, owner: &str, lease: Duration) -> Result<Option<Saga>> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = t::Uuid)]
        id: Uuid,
    }
    let claimed = sql_query(
        "UPDATE sagas SET lease_owner = $1, lease_until = now() + $2 * interval '1 millisecond', fence = fence + 1 \
         WHERE id = (SELECT id FROM sagas WHERE status IN ('pending', 'running', 'undoing') AND next_run_at <= now() \
             AND (lease_until IS NULL OR lease_until < now()) ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING id",
    )
    .bind::<t::Text, _>(owner)
    .bind::<t::BigInt, _>(millis(lease))
    .get_result::<Id>(c)
    .await
    .optional()?;
    match claimed {
        Some(Id { id }) => Ok(Some(sagas::table.find(id).select(Saga::as_select()).first(c).await?)),
        None => Ok(None),
    }
}

/// Holds a saga for longer. Answers whether it is still held.
pub(crate) async fn extend(c: &mut Conn, id: Uuid, fence: i64, lease: Duration) -> Result<bool> {
    let held = sql_query(
        "UPDATE sagas SET lease_until = now() + $3 * interval '1 millisecond' WHERE id = $1 AND fence = $2",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::BigInt, _>(fence)
    .bind::<t::BigInt, _>(millis(lease))
    .execute(c)
    .await?;
    Ok(held > 0)
}

/// What a runner learns at a write.
#[derive(QueryableByName)]
struct Saved {
    #[diesel(sql_type = t::Nullable<t::Text>)]
    undo_asked: Option<String>,
}

/// When the saga is to run next: at once by the one who holds it, or later by whoever comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    Hold,
    Release(Duration),
}

/// Writes a saga and, if one changed, a step: in one statement, under the fence. Gives who asked for undoing since.
///
/// # Errors
/// `None` inside when another runner holds the saga by now.
pub(crate) async fn save(c: &mut Conn, saga: &Saga, step: Option<&StepRow>, next: Next) -> Result<Option<Option<String>>> {
    let pause: Option<i64> = match next {
        Next::Hold => None,
        Next::Release(pause) => Some(millis(pause)),
    };
    let query = sql_query(
        "WITH held AS (UPDATE sagas SET status = $3, error = $4, cause = $5, started_at = $6, finished_at = $7, \
             updated_at = $8, \
             lease_until = CASE WHEN $9::bigint IS NULL THEN lease_until END, \
             lease_owner = CASE WHEN $9::bigint IS NULL THEN lease_owner END, \
             next_run_at = CASE WHEN $9::bigint IS NULL THEN next_run_at \
                 WHEN undo_asked IS NOT NULL AND $5::text IS NULL THEN now() \
                 ELSE now() + $9 * interval '1 millisecond' END \
             WHERE id = $1 AND fence = $2 RETURNING id, undo_asked), \
         step AS (UPDATE saga_steps SET status = $11, attempts = $12, undo_attempts = $13, output = $14, error = $15, \
             waiting_for = $16, started_at = $17, completed_at = $18, next_attempt_at = $19 \
             FROM held WHERE saga_id = held.id AND position = $10) \
         SELECT undo_asked FROM held",
    )
    .bind::<t::Uuid, _>(saga.id)
    .bind::<t::BigInt, _>(saga.fence)
    .bind::<t::Text, _>(saga.status)
    .bind::<t::Nullable<t::Text>, _>(&saga.error)
    .bind::<t::Nullable<t::Text>, _>(saga.cause)
    .bind::<t::Nullable<t::Timestamptz>, _>(saga.started_at)
    .bind::<t::Nullable<t::Timestamptz>, _>(saga.finished_at)
    .bind::<t::Timestamptz, _>(clock::now())
    .bind::<t::Nullable<t::BigInt>, _>(pause);
    let none = StepRow::nowhere();
    let step = step.unwrap_or(&none);
    let saved = query
        .bind::<t::SmallInt, _>(step.position)
        .bind::<t::Text, _>(step.status)
        .bind::<t::Integer, _>(step.attempts)
        .bind::<t::Integer, _>(step.undo_attempts)
        .bind::<t::Nullable<t::Jsonb>, _>(&step.output)
        .bind::<t::Nullable<t::Text>, _>(&step.error)
        .bind::<t::Nullable<t::Text>, _>(&step.waiting_for)
        .bind::<t::Nullable<t::Timestamptz>, _>(step.started_at)
        .bind::<t::Nullable<t::Timestamptz>, _>(step.completed_at)
        .bind::<t::Nullable<t::Timestamptz>, _>(step.next_attempt_at)
        .get_result::<Saved>(c)
        .await
        .optional()?;
    Ok(saved.map(|saved| saved.undo_asked))
}

/// Marks what never ran in a saga that was undone.
pub(crate) async fn skip_pending(c: &mut Conn, id: Uuid) -> Result<()> {
    diesel::update(saga_steps::table)
        .filter(saga_steps::saga_id.eq(id).and(saga_steps::status.eq("pending")))
        .set(saga_steps::status.eq("skipped"))
        .execute(c)
        .await?;
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
