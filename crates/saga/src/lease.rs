//! The statements by which runners claim, extend, write and release sagas, under the fence.
//!
//! The fence increases when a saga is claimed and when it is released. A statement that a runner sent before it lost or
//! released the saga, and that the database executes only afterwards, therefore changes nothing.

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

/// The key of a kind and version, `kind/version`, in the statements of this module.
pub(crate) fn definition_key(kind: &str, version: i32) -> String {
    format!("{kind}/{version}")
}

/// The condition that a saga can be claimed: it is due, no lease is in force, and its kind and version are known ($3).
macro_rules! due {
    () => {
        "status IN ('pending', 'running', 'undoing') AND paused_at IS NULL AND next_run_at <= now() \
         AND (lease_until IS NULL OR lease_until < now()) AND kind || '/' || version = ANY ($3)"
    };
}

/// Claims up to `limit` sagas that are due, unleased and of a known kind and version. The fairness keys after `after`
/// come first, in their order. Of each key, the saga that has been due longest comes first; a second saga of a key
/// comes only after the first of every other key.
pub(crate) async fn claim(
    mut c: &Conn,
    owner: &str,
    lease: Duration,
    known: &[String],
    after: &str,
    limit: usize,
) -> Result<Vec<Saga>> {
    // The recursive query walks the index from key to key and stops at the limit. The ids are passed as arrays because
    // with a join the planner may read the whole table.
    let mut claimed: Vec<Saga> = sql_query(concat!(
        "WITH RECURSIVE fair_keys AS ((SELECT flow, 1 AS ordinal FROM sagas WHERE ", due!(), " AND flow > $5 \
                 ORDER BY flow LIMIT 1) \
             UNION ALL SELECT next.flow, ordinal + 1 FROM fair_keys, LATERAL (SELECT flow FROM sagas WHERE ", due!(), " \
                 AND flow > fair_keys.flow ORDER BY flow LIMIT 1) AS next WHERE ordinal < $4), \
         first AS (SELECT one.id, ordinal, row_number() OVER (PARTITION BY flow ORDER BY one.next_run_at) AS nth \
             FROM fair_keys, LATERAL (SELECT id, next_run_at FROM sagas WHERE ", due!(), " AND flow = fair_keys.flow \
                 ORDER BY next_run_at LIMIT $4) AS one) \
         UPDATE sagas SET lease_owner = $1, lease_until = now() + $2 * interval '1 millisecond', fence = fence + 1 \
         WHERE id = ANY (ARRAY(SELECT id FROM sagas \
             WHERE id = ANY (ARRAY(SELECT id FROM first ORDER BY nth, ordinal LIMIT $4)) AND ", due!(), " \
             FOR UPDATE SKIP LOCKED)) \
         RETURNING *",
    ))
    .bind::<t::Text, _>(owner)
    .bind::<t::BigInt, _>(millis(lease))
    .bind::<t::Array<t::Text>, _>(known)
    .bind::<t::BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind::<t::Text, _>(after)
    .load(&mut c)
    .await?;
    claimed.sort_by(|one, other| {
        (&one.fairness_key, one.next_run_at).cmp(&(&other.fairness_key, other.next_run_at))
    });
    Ok(claimed)
}

/// The number of sagas that are due and of a kind and version unknown to this process.
#[derive(QueryableByName)]
pub(crate) struct UnknownKind {
    #[diesel(sql_type = t::Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = t::Integer)]
    pub(crate) version: i32,
    #[diesel(sql_type = t::BigInt)]
    pub(crate) count: i64,
}

/// Counts the sagas that [`claim`] skips because their kind and version are unknown.
pub(crate) async fn unknown_kinds(mut c: &Conn, known: &[String]) -> Result<Vec<UnknownKind>> {
    Ok(sql_query(
        "SELECT kind, version, count(*) AS count FROM sagas \
         WHERE status IN ('pending', 'running', 'undoing') AND paused_at IS NULL AND next_run_at <= now() \
         AND kind || '/' || version <> ALL ($1) GROUP BY kind, version",
    )
    .bind::<t::Array<t::Text>, _>(known)
    .load(&mut c)
    .await?)
}

/// The result of an attempt to extend a lease.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(crate) struct Extension {
    /// True if this runner still holds the saga.
    #[diesel(sql_type = t::Bool)]
    pub(crate) is_held: bool,
    /// True if the lease was extended.
    #[diesel(sql_type = t::Bool)]
    pub(crate) extended: bool,
}

/// Extends a lease, unless the row is locked: waiting for the lock would keep a connection from the others.
pub(crate) async fn extend(mut c: &Conn, id: Uuid, fence: i64, lease: Duration) -> Result<Extension> {
    let extended = sql_query(
        "WITH free AS (SELECT id FROM sagas WHERE id = $1 AND fence = $2 FOR NO KEY UPDATE SKIP LOCKED), \
         extended AS (UPDATE sagas SET lease_until = now() + $3 * interval '1 millisecond' \
             FROM free WHERE sagas.id = free.id RETURNING sagas.id) \
         SELECT EXISTS (SELECT FROM sagas WHERE id = $1 AND fence = $2) AS is_held, \
             EXISTS (SELECT FROM extended) AS extended",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::BigInt, _>(fence)
    .bind::<t::BigInt, _>(millis(lease))
    .get_result(&mut c)
    .await?;
    Ok(extended)
}

/// Releases a saga without changing its state; it is due after `pause`.
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

/// The effect of a write on the lease: the runner keeps it, or releases the saga for a later run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeaseAction {
    Keep,
    Release {
        pause: Duration,
        /// The saga whose end makes this one due before the pause is over.
        waits_for: Option<Uuid>,
    },
}

/// A step to write, and the pause before its next attempt if there is one.
pub(crate) struct ChangedStep<'s> {
    pub(crate) row: &'s StepRow,
    pub(crate) pause: Option<Duration>,
}

/// Reads the steps of a claimed saga, in order, each with the rest of the pause before its next attempt.
pub(crate) async fn load_steps(mut c: &Conn, id: Uuid) -> Result<Vec<(StepRow, Option<Duration>)>> {
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

/// Requests of operators that a successful write returns to the runner.
#[derive(Debug, QueryableByName)]
pub(crate) struct Signals {
    #[diesel(sql_type = t::Nullable<t::Text>)]
    #[diesel(column_name = undo_asked)]
    pub(crate) undo_requested: Option<String>,
    /// True if an operator has paused the saga.
    #[diesel(sql_type = t::Bool)]
    pub(crate) paused: bool,
}

/// Writes a saga and its changed steps in one statement under the fence. The statement sets absolute values, so a write
/// whose result is unknown can be sent again.
///
/// Returns `None` if the write was rejected: another runner holds the saga, or the saga was to be released although an
/// undo is requested, which must start at once.
///
/// # Errors
/// Those of the database.
pub(crate) async fn save(
    mut c: &Conn,
    saga: &Saga,
    steps: &[ChangedStep<'_>],
    lease_action: LeaseAction,
) -> Result<Option<Signals>> {
    let (pause, waits_for) = match lease_action {
        LeaseAction::Keep => (None, None),
        LeaseAction::Release { pause, waits_for } => (Some(millis(pause)), waits_for),
    };
    let pauses: Vec<_> = steps.iter().map(|step| step.pause.map(millis)).collect();
    let saved = sql_query(
        // The row lock orders this statement and the end of the other saga. If the end comes first, this statement sees
        // it; if it comes later, the other saga's trigger wakes this one.
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

/// Collects one field of the steps, as an array parameter of a statement.
fn column<'s, T>(steps: &[ChangedStep<'s>], field: impl Fn(&'s StepRow) -> T) -> Vec<T> {
    steps.iter().map(|step| field(step.row)).collect()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Ends every lease and returns the number of leases. The fence increases, so a runner that is still alive loses its
/// saga.
///
/// # Errors
/// Those of the database.
pub(crate) async fn release_all(mut c: &Conn) -> Result<usize> {
    let ended = sql_query(
        "UPDATE sagas SET lease_until = NULL, lease_owner = NULL, fence = fence + 1 \
         WHERE status IN ('pending', 'running', 'undoing') AND lease_until IS NOT NULL",
    );
    Ok(ended.execute(&mut c).await?)
}
