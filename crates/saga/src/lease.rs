//! The statements of runners: what they do to a saga they hold, under its fence.
//!
//! The fence grows when a saga is claimed and when it is let go. So whatever a runner sent before it lost the saga
//! or let go of it, and the database got to only afterwards, changes nothing.

use std::time::Duration;

use database::Conn;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, SelectableHelper, dsl::sql, sql_query,
    sql_types as t,
};
use diesel_async::RunQueryDsl;
use domain::Result;
use runtime::clock;
use uuid::Uuid;

use crate::{Saga, StepRow, schema::saga_steps};

/// Kinds and versions as the statements here know them: `kind/version`.
pub(crate) fn known(kind: &str, version: i32) -> String {
    format!("{kind}/{version}")
}

/// What can be claimed: due, held by no one, of a known kind and version ($3).
macro_rules! due {
    () => {
        "status IN ('pending', 'running', 'undoing') AND paused_at IS NULL AND next_run_at <= now() \
         AND (lease_until IS NULL OR lease_until < now()) AND kind || '/' || version = ANY ($3)"
    };
}

/// Takes sagas that are due, that no one holds and that are of a known kind and version: at most `most` of them. The
/// flows after `after` come first, in their order; of each the longest due, and a second of one only after the first of
/// all others.
pub(crate) async fn claim(
    mut c: &Conn,
    owner: &str,
    lease: Duration,
    known: &[String],
    after: &str,
    most: usize,
) -> Result<Vec<Saga>> {
    // From flow to flow through the index, no further than there is room for. The ids in arrays: a join would leave it to
    // the planner to read the whole table.
    let mut claimed: Vec<Saga> = sql_query(concat!(
        "WITH RECURSIVE flows AS ((SELECT flow, 1 AS place FROM sagas WHERE ", due!(), " AND flow > $5 \
                 ORDER BY flow LIMIT 1) \
             UNION ALL SELECT next.flow, place + 1 FROM flows, LATERAL (SELECT flow FROM sagas WHERE ", due!(), " \
                 AND flow > flows.flow ORDER BY flow LIMIT 1) AS next WHERE place < $4), \
         first AS (SELECT one.id, place, row_number() OVER (PARTITION BY flow ORDER BY one.next_run_at) AS turn \
             FROM flows, LATERAL (SELECT id, next_run_at FROM sagas WHERE ", due!(), " AND flow = flows.flow \
                 ORDER BY next_run_at LIMIT $4) AS one) \
         UPDATE sagas SET lease_owner = $1, lease_until = now() + $2 * interval '1 millisecond', fence = fence + 1 \
         WHERE id = ANY (ARRAY(SELECT id FROM sagas \
             WHERE id = ANY (ARRAY(SELECT id FROM first ORDER BY turn, place LIMIT $4)) AND ", due!(), " \
             FOR UPDATE SKIP LOCKED)) \
         RETURNING *",
    ))
    .bind::<t::Text, _>(owner)
    .bind::<t::BigInt, _>(millis(lease))
    .bind::<t::Array<t::Text>, _>(known)
    .bind::<t::BigInt, _>(i64::try_from(most).unwrap_or(i64::MAX))
    .bind::<t::Text, _>(after)
    .load(&mut c)
    .await?;
    claimed.sort_by(|one, other| (&one.flow, one.next_run_at).cmp(&(&other.flow, other.next_run_at)));
    Ok(claimed)
}

/// Sagas that are due and of no known kind and version.
#[derive(QueryableByName)]
pub(crate) struct Unknown {
    #[diesel(sql_type = t::Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = t::Integer)]
    pub(crate) version: i32,
    #[diesel(sql_type = t::BigInt)]
    pub(crate) count: i64,
}

/// Counts what [`claim`] passes by.
pub(crate) async fn unknown(mut c: &Conn, known: &[String]) -> Result<Vec<Unknown>> {
    Ok(sql_query(
        "SELECT kind, version, count(*) AS count FROM sagas \
         WHERE status IN ('pending', 'running', 'undoing') AND paused_at IS NULL AND next_run_at <= now() \
         AND kind || '/' || version <> ALL ($1) GROUP BY kind, version",
    )
    .bind::<t::Array<t::Text>, _>(known)
    .load(&mut c)
    .await?)
}

/// What became of a wish to hold a saga for longer.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(crate) struct Extended {
    /// Whether the saga is this runner's.
    #[diesel(sql_type = t::Bool)]
    pub(crate) held: bool,
    /// Whether it is for longer.
    #[diesel(sql_type = t::Bool)]
    pub(crate) longer: bool,
}

/// Holds a saga for longer, unless its row is locked: waiting for that would keep a connection from all others.
pub(crate) async fn extend(mut c: &Conn, id: Uuid, fence: i64, lease: Duration) -> Result<Extended> {
    let extended = sql_query(
        "WITH free AS (SELECT id FROM sagas WHERE id = $1 AND fence = $2 FOR NO KEY UPDATE SKIP LOCKED), \
         longer AS (UPDATE sagas SET lease_until = now() + $3 * interval '1 millisecond' \
             FROM free WHERE sagas.id = free.id RETURNING sagas.id) \
         SELECT EXISTS (SELECT FROM sagas WHERE id = $1 AND fence = $2) AS held, EXISTS (SELECT FROM longer) AS longer",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::BigInt, _>(fence)
    .bind::<t::BigInt, _>(millis(lease))
    .get_result(&mut c)
    .await?;
    Ok(extended)
}

/// Lets go of a saga as it stands in its row; it is due after `pause`.
pub(crate) async fn release(mut c: &Conn, id: Uuid, fence: i64, pause: Duration) -> Result<()> {
    sql_query(
        "UPDATE sagas SET lease_until = NULL, lease_owner = NULL, fence = fence + 1, \
             next_run_at = now() + $3 * interval '1 millisecond' WHERE id = $1 AND fence = $2",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::BigInt, _>(fence)
    .bind::<t::BigInt, _>(millis(pause))
    .execute(&mut c)
    .await?;
    Ok(())
}

/// When the saga is to run next: at once by the one who holds it, or later by whoever comes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    Hold,
    Release {
        pause: Duration,
        /// The saga whose end comes sooner, perhaps.
        waits_for: Option<Uuid>,
    },
}

/// A step that is written, and the pause before its next try if there is one.
pub(crate) struct Changed<'s> {
    pub(crate) row: &'s StepRow,
    pub(crate) pause: Option<Duration>,
}

/// The steps of a saga that was claimed, in order, each with what is left of the pause before its next try.
pub(crate) async fn steps_to_drive(mut c: &Conn, id: Uuid) -> Result<Vec<(StepRow, Option<Duration>)>> {
    let left = sql::<t::Nullable<t::Double>>("extract(epoch FROM next_attempt_at - now())::float8");
    let rows: Vec<(StepRow, Option<f64>)> = saga_steps::table
        .filter(saga_steps::saga_id.eq(id))
        .order(saga_steps::position)
        .select((StepRow::as_select(), left))
        .load(&mut c)
        .await?;
    let pause = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Ok(rows.into_iter().map(|(row, left)| (row, left.map(pause))).collect())
}

/// What a runner learns at a write that was taken.
#[derive(Debug, QueryableByName)]
pub(crate) struct Saved {
    #[diesel(sql_type = t::Nullable<t::Text>)]
    pub(crate) undo_asked: Option<String>,
    /// Whether it is to rest.
    #[diesel(sql_type = t::Bool)]
    pub(crate) paused: bool,
}

/// Writes a saga and the steps that changed: in one statement, under the fence, in absolute values, so that a write of
/// which it is not known whether it was taken may be sent again.
///
/// # Errors
/// `None` inside when it was refused: another runner holds the saga by now; or the saga was to be let go of, and
/// someone has asked for it to be undone, which must not wait and must not be forgotten.
pub(crate) async fn save(
    mut c: &Conn,
    saga: &Saga,
    steps: &[Changed<'_>],
    next: Next,
) -> Result<Option<Saved>> {
    let (pause, waits_for) = match next {
        Next::Hold => (None, None),
        Next::Release { pause, waits_for } => (Some(millis(pause)), waits_for),
    };
    let pauses: Vec<_> = steps.iter().map(|step| step.pause.map(millis)).collect();
    let saved = sql_query(
        // The lock has the end of the other saga come before this statement, which then sees it, or after it: then
        // the other one wakes this one.
        "WITH awaited AS MATERIALIZED (SELECT id FROM sagas WHERE id = $22 AND paused_at IS NULL \
             AND status IN ('pending', 'running', 'undoing') FOR SHARE), \
         held AS (UPDATE sagas SET status = $3, error = $4, cause = $5, started_at = $6, finished_at = $7, \
             updated_at = $8, revision = revision + 1, \
             fence = CASE WHEN $9::bigint IS NULL THEN fence ELSE fence + 1 END, \
             lease_until = CASE WHEN $9::bigint IS NULL THEN lease_until END, \
             lease_owner = CASE WHEN $9::bigint IS NULL THEN lease_owner END, \
             waits_for = CASE WHEN $9::bigint IS NULL THEN waits_for ELSE $22 END, \
             next_run_at = CASE WHEN $9::bigint IS NULL THEN next_run_at \
                 WHEN $22::uuid IS NOT NULL AND NOT EXISTS (SELECT FROM awaited) THEN now() \
                 ELSE now() + $9 * interval '1 millisecond' END \
             WHERE id = $1 AND fence = $2 \
                 AND ($9::bigint IS NULL OR undo_asked IS NULL OR $5::text IS NOT NULL) \
             RETURNING id, status, undo_asked, paused_at IS NOT NULL AS paused), \
         changed AS (UPDATE saga_steps SET status = new.status, attempts = new.attempts, \
             undo_attempts = new.undo_attempts, output = new.output, error = new.error, \
             waiting_for = new.waiting_for, started_at = new.started_at, completed_at = new.completed_at, \
             next_attempt_at = now() + new.pause * interval '1 millisecond', outages = new.outages, undo_outages = new.undo_outages \
             FROM held, unnest($10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) AS new (position, status, \
                 attempts, undo_attempts, output, error, waiting_for, started_at, completed_at, pause, \
                 outages, undo_outages) \
             WHERE saga_id = held.id AND saga_steps.position = new.position), \
         never AS (UPDATE saga_steps SET status = 'skipped' \
             FROM held WHERE held.status = 'undone' AND saga_id = held.id AND position <> ALL ($10) \
                 AND saga_steps.status = 'pending') \
         SELECT undo_asked, paused FROM held",
    )
    .bind::<t::Uuid, _>(saga.id)
    .bind::<t::BigInt, _>(saga.fence)
    .bind::<t::Text, _>(saga.status)
    .bind::<t::Nullable<t::Text>, _>(&saga.error)
    .bind::<t::Nullable<t::Text>, _>(saga.cause)
    .bind::<t::Nullable<t::Timestamptz>, _>(saga.started_at)
    .bind::<t::Nullable<t::Timestamptz>, _>(saga.finished_at)
    .bind::<t::Timestamptz, _>(clock::now())
    .bind::<t::Nullable<t::BigInt>, _>(pause)
    .bind::<t::Array<t::SmallInt>, _>(column(steps, |step| step.position))
    .bind::<t::Array<t::Text>, _>(column(steps, |step| step.status))
    .bind::<t::Array<t::Integer>, _>(column(steps, |step| step.attempts))
    .bind::<t::Array<t::Integer>, _>(column(steps, |step| step.undo_attempts))
    .bind::<t::Array<t::Nullable<t::Jsonb>>, _>(column(steps, |step| step.output.as_ref()))
    .bind::<t::Array<t::Nullable<t::Text>>, _>(column(steps, |step| step.error.as_deref()))
    .bind::<t::Array<t::Nullable<t::Jsonb>>, _>(column(steps, |step| step.waiting_for.as_ref()))
    .bind::<t::Array<t::Nullable<t::Timestamptz>>, _>(column(steps, |step| step.started_at))
    .bind::<t::Array<t::Nullable<t::Timestamptz>>, _>(column(steps, |step| step.completed_at))
    .bind::<t::Array<t::Nullable<t::BigInt>>, _>(pauses)
    .bind::<t::Array<t::Integer>, _>(column(steps, |step| step.outages))
    .bind::<t::Array<t::Integer>, _>(column(steps, |step| step.undo_outages))
    .bind::<t::Nullable<t::Uuid>, _>(waits_for)
    .get_result(&mut c)
    .await
    .optional()?;
    Ok(saved)
}

/// One field of the steps, as a statement takes it.
fn column<'s, T>(steps: &[Changed<'s>], field: impl Fn(&'s StepRow) -> T) -> Vec<T> {
    steps.iter().map(|step| field(step.row)).collect()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Ends every lease; answers how many there were. The fence grows, so a runner that is not dead after all learns it.
///
/// # Errors
/// Those of the database.
pub(crate) async fn end_all(mut c: &Conn) -> Result<usize> {
    let ended = sql_query(
        "UPDATE sagas SET lease_until = NULL, lease_owner = NULL, fence = fence + 1 \
         WHERE status IN ('pending', 'running', 'undoing') AND lease_until IS NOT NULL",
    );
    Ok(ended.execute(&mut c).await?)
}
