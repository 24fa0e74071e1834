//! The statements that create, read and control sagas.

use database::{Conn, total};
use diesel::{
    ExpressionMethods, QueryDsl, QueryableByName, SelectableHelper,
    dsl::sql,
    query_builder::{QueryFragment, QueryId},
    sql_query, sql_types as t,
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Limit, Result, Total};
use identity::{Ctx, Scope};
use runtime::clock;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{
    Cause, Saga, SagaStatus, StepKey, StepRow,
    schema::{saga_steps, sagas},
};

/// A saga with its steps, in order.
#[derive(Debug, Clone)]
pub struct SagaWithSteps {
    pub saga: Saga,
    pub steps: Vec<StepRow>,
}

impl SagaWithSteps {
    /// Returns the output of a step, if it is recorded.
    pub fn output<T: DeserializeOwned>(&self, step: StepKey<T>) -> Option<T> {
        let row = self.steps.iter().find(|row| row.name == step.as_str())?;
        T::deserialize(row.output.as_ref()?).ok()
    }
}

/// The constraint that the insert of a saga violates if the id exists, as a saga or as a [`tombstone`]. Handle it
/// wherever a client chooses the id; otherwise it is reported as a concurrent write.
pub const ID_TAKEN: &str = "sagas_pkey";

/// The insert of a saga; use it in one statement with [`insert_steps`].
pub fn insert(row: Saga) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    // Claims compare `next_run_at` with the clock of the database, which may differ from that of this process.
    diesel::insert_into(sagas::table).values((row, sagas::next_run_at.eq(sql::<t::Timestamptz>("now()"))))
}

/// The insert of a saga's steps.
pub fn insert_steps(rows: Vec<StepRow>) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(saga_steps::table).values(rows)
}

/// Reads a saga and its steps in one statement, so that they are consistent. `noun` names the saga in the error.
///
/// # Errors
/// [`domain::Kind::NotFound`].
pub async fn by_id(mut c: &Conn, noun: &str, id: Uuid) -> Result<SagaWithSteps> {
    let rows: Vec<(Saga, Option<StepRow>)> = sagas::table
        .left_join(saga_steps::table)
        .filter(sagas::id.eq(id))
        .order(saga_steps::position)
        .select((Saga::as_select(), Option::<StepRow>::as_select()))
        .load(&mut c)
        .await?;
    let (mut sagas, steps): (Vec<Saga>, Vec<_>) = rows.into_iter().unzip();
    let saga = sagas.pop().ok_or_else(|| Error::not_found(noun, id))?;
    Ok(SagaWithSteps { saga, steps: steps.into_iter().flatten().collect() })
}

/// Reads the steps of several sagas in one statement, ordered by saga and position.
///
/// # Errors
/// Those of the database.
pub async fn steps_of(mut c: &Conn, ids: &[Uuid]) -> Result<Vec<StepRow>> {
    Ok(saga_steps::table
        .filter(saga_steps::saga_id.eq_any(ids))
        .order((saga_steps::saga_id, saga_steps::position))
        .select(StepRow::as_select())
        .load(&mut c)
        .await?)
}

/// The filter of a list of sagas. An empty field matches all sagas.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    pub statuses: &'a [SagaStatus],
    pub causes: &'a [Cause],
    pub subject: Option<&'a str>,
}

impl Filter<'_> {
    /// Returns true if the filter matches all sagas.
    pub(crate) fn matches_all(&self) -> bool {
        self.statuses.is_empty() && self.causes.is_empty() && self.subject.is_none()
    }

    /// The statuses and causes as texts. Duplicate statuses are removed: the query would read each of them twice.
    fn texts(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let mut statuses: Vec<_> = self.statuses.iter().map(SagaStatus::as_str).collect();
        statuses.sort_unstable();
        statuses.dedup();
        (statuses, self.causes.iter().map(Cause::as_str).collect())
    }
}

/// Reads a page of sagas, newest first.
///
/// # Errors
/// Those of the database.
pub async fn page(
    mut c: &Conn,
    _: &Scope,
    filter: &Filter<'_>,
    limit: Limit,
    after: &Cursor,
) -> Result<Vec<Saga>> {
    // One query per index. It reads each status separately, so that it does not have to skip rows of other statuses.
    let text = match (filter.subject, filter.statuses) {
        (None, []) => {
            "SELECT * FROM sagas WHERE (created_at, id) < ($1, $2) \
                 AND $4::text IS NULL AND cardinality($5::text[]) = 0 AND (cardinality($6) = 0 OR cause = ANY ($6)) \
             ORDER BY created_at DESC, id DESC LIMIT $3"
        }
        (None, _) => {
            "SELECT found.* FROM unnest($5::text[]) AS listed, LATERAL (SELECT * FROM sagas \
                 WHERE status = listed AND (created_at, id) < ($1, $2) \
                     AND (cardinality($6) = 0 OR cause = ANY ($6)) \
                 ORDER BY created_at DESC, id DESC LIMIT $3) AS found \
             WHERE $4::text IS NULL ORDER BY created_at DESC, id DESC LIMIT $3"
        }
        (Some(_), _) => {
            "SELECT * FROM sagas WHERE subject = $4 AND (created_at, id) < ($1, $2) \
                 AND (cardinality($5) = 0 OR status = ANY ($5)) AND (cardinality($6) = 0 OR cause = ANY ($6)) \
             ORDER BY created_at DESC, id DESC LIMIT $3"
        }
    };
    let (statuses, causes) = filter.texts();
    Ok(sql_query(text)
        .bind::<t::Timestamptz, _>(after.at)
        .bind::<t::Uuid, _>(Uuid::parse_str(&after.id).unwrap_or(Uuid::max()))
        .bind::<t::BigInt, _>(limit.rows())
        .bind::<t::Nullable<t::Text>, _>(filter.subject)
        .bind::<t::Array<t::Text>, _>(statuses)
        .bind::<t::Array<t::Text>, _>(causes)
        .load(&mut c)
        .await?)
}

/// Reads the id, status and subject of every saga of a fairness key that is not undone. For keys with few sagas.
///
/// # Errors
/// Those of the database.
pub async fn by_fairness_key(mut c: &Conn, key: &str) -> Result<Vec<(Uuid, SagaStatus, String)>> {
    Ok(sagas::table
        .filter(sagas::flow.eq(key))
        // A literal, to match the condition of the partial index.
        .filter(sql::<t::Bool>("status <> 'undone'"))
        .select((sagas::id, sagas::status, sagas::subject))
        .load(&mut c)
        .await?)
}

/// Counts the sagas that match a filter, through the index of subjects or statuses if the filter has one of them.
///
/// # Errors
/// Those of the database.
pub async fn count(c: &Conn, _: &Scope, filter: &Filter<'_>) -> Result<Total> {
    total(c, || {
        let mut rows = sagas::table.into_boxed();
        if let Some(subject) = filter.subject {
            rows = rows.filter(sagas::subject.eq(subject));
        }
        let (statuses, causes) = filter.texts();
        if !statuses.is_empty() {
            rows = rows.filter(sagas::status.eq_any(statuses));
        }
        if !causes.is_empty() {
            rows = rows.filter(sagas::cause.eq_any(causes));
        }
        rows.select(sql::<t::Integer>("1"))
    })
    .await
}

/// Requests the undo of a saga. The runner of an active saga sees the request at its next write; a completed saga is
/// undone from its last step. Returns false if the saga is undone or stuck. After the commit, the caller notifies the
/// engine's `wake`.
///
/// # Errors
/// Those of the database.
pub async fn request_undo(mut c: &Conn, id: Uuid, why: &str) -> Result<bool> {
    // A saga that is being undone already keeps its pause.
    let requested = sql_query(
        "UPDATE sagas SET undo_asked = coalesce(undo_asked, $2), updated_at = $3, finished_at = NULL, \
             paused_at = NULL, revision = revision + 1, \
             next_run_at = CASE WHEN status = 'undoing' THEN next_run_at ELSE now() END, \
             cause = CASE WHEN status = 'completed' THEN 'cancelled' ELSE cause END, \
             error = CASE WHEN status = 'completed' THEN $2 ELSE error END, \
             status = CASE WHEN status = 'completed' THEN 'undoing' ELSE status END \
         WHERE id = $1 AND status IN ('pending', 'running', 'undoing', 'completed')",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(replace_nul(why))
    .bind::<t::Timestamptz, _>(clock::now())
    .execute(&mut c)
    .await?;
    Ok(requested > 0)
}

/// Continues a stuck saga where it stopped, forward or in compensation, and resets its attempts. Returns false if the
/// saga is not stuck. After the commit, the caller notifies the engine's `wake`.
///
/// # Errors
/// Those of the database.
pub async fn retry(mut c: &Conn, id: Uuid) -> Result<bool> {
    // Going forward, the failed step runs again. In compensation, it still has to be undone.
    let retried = sql_query(
        "WITH retried AS (UPDATE sagas SET status = CASE WHEN cause IS NULL THEN 'running' ELSE 'undoing' END, \
             error = CASE WHEN cause IS NULL THEN NULL ELSE error END, \
             next_run_at = now(), finished_at = NULL, updated_at = $2, revision = revision + 1 \
             WHERE id = $1 AND status = 'stuck' RETURNING id, cause IS NULL AS goes_forward), \
         run AS (UPDATE saga_steps SET attempts = 0, outages = 0, status = 'pending', waiting_for = NULL \
             FROM retried WHERE retried.goes_forward AND saga_id = retried.id AND status = 'failed'), \
         compensate AS (UPDATE saga_steps SET undo_attempts = 0, undo_outages = 0, waiting_for = NULL \
             FROM retried WHERE NOT retried.goes_forward AND saga_id = retried.id AND status <> 'compensated') \
         SELECT count(*)::bigint AS n FROM retried",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Timestamptz, _>(clock::now())
    .get_result::<Count>(&mut c)
    .await?;
    Ok(retried.n > 0)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = t::BigInt)]
    n: i64,
}

/// Pauses an active saga, starting with its runner's next write. Returns false if the saga is paused or not active.
///
/// # Errors
/// Those of the database.
pub async fn pause(mut c: &Conn, id: Uuid) -> Result<bool> {
    let paused = sql_query(
        "UPDATE sagas SET paused_at = $2, updated_at = $2, revision = revision + 1 \
         WHERE id = $1 AND paused_at IS NULL AND status IN ('pending', 'running', 'undoing')",
    );
    let paused =
        paused.bind::<t::Uuid, _>(id).bind::<t::Timestamptz, _>(clock::now()).execute(&mut c).await?;
    Ok(paused > 0)
}

/// Resumes a paused saga. Returns false if the saga is not paused. After the commit, the caller notifies the engine's
/// `wake`.
///
/// # Errors
/// Those of the database.
pub async fn resume(mut c: &Conn, id: Uuid) -> Result<bool> {
    let resumed = sql_query(
        "UPDATE sagas SET paused_at = NULL, next_run_at = now(), updated_at = $2, revision = revision + 1 \
         WHERE id = $1 AND paused_at IS NOT NULL",
    );
    let resumed =
        resumed.bind::<t::Uuid, _>(id).bind::<t::Timestamptz, _>(clock::now()).execute(&mut c).await?;
    Ok(resumed > 0)
}

/// Ends a stuck saga without undoing the rest of its effects. Returns false if the saga is not stuck.
///
/// # Errors
/// Those of the database.
pub async fn discard(mut c: &Conn, id: Uuid, why: &str) -> Result<bool> {
    let discarded = sql_query(
        "UPDATE sagas SET status = 'undone', cause = 'discarded', error = concat_ws('; it was stuck: ', $2, error), \
             updated_at = $3, finished_at = $3, revision = revision + 1 \
         WHERE id = $1 AND status = 'stuck'",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(replace_nul(why))
    .bind::<t::Timestamptz, _>(clock::now())
    .execute(&mut c)
    .await?;
    Ok(discarded > 0)
}

/// The update that notifies the followers of a saga of a change outside its rows.
pub fn bump_revision(id: Uuid) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::update(sagas::table.find(id)).set(sagas::revision.eq(sagas::revision + 1))
}

/// Reads the revisions and statuses of those of these sagas that exist.
pub(crate) async fn revisions(mut c: &Conn, ids: &[Uuid]) -> Result<Vec<(Uuid, i64, SagaStatus)>> {
    let found = sagas::table.filter(sagas::id.eq_any(ids));
    Ok(found.select((sagas::id, sagas::revision, sagas::status)).load(&mut c).await?)
}

#[derive(QueryableByName)]
struct Awaited {
    #[diesel(sql_type = t::Text)]
    job: String,
}

/// Reads the provisioning jobs that active sagas wait for.
///
/// # Errors
/// Those of the database.
pub async fn awaited_jobs(mut c: &Conn) -> Result<Vec<Uuid>> {
    // The query starts from the active sagas, which are few: the planner overestimates the number of waiting steps.
    let found: Vec<Awaited> = sql_query(
        "SELECT DISTINCT job FROM sagas, LATERAL (SELECT waiting_for ->> 'job' AS job FROM saga_steps \
             WHERE saga_id = sagas.id AND waiting_for ->> 'job' IS NOT NULL OFFSET 0) AS steps \
         WHERE status IN ('pending', 'running', 'undoing')",
    )
    .load(&mut c)
    .await?;
    Ok(found.iter().filter_map(|row| Uuid::parse_str(&row.job).ok()).collect())
}

/// Makes the steps due that wait for this provisioning job, which has ended. The caller notifies the engine's `wake`.
///
/// # Errors
/// Those of the database.
pub async fn wake_job_waiters(mut c: &Conn, job: Uuid) -> Result<()> {
    // Sagas are updated before their steps, in the order of the runners' writes, to prevent deadlocks.
    sql_query(
        "WITH due AS (UPDATE sagas SET next_run_at = now() WHERE id = ANY (ARRAY(\
             SELECT saga_id FROM saga_steps WHERE waiting_for ->> 'job' = $1)) AND next_run_at > now() RETURNING id) \
         UPDATE saga_steps SET next_attempt_at = now() FROM due \
         WHERE saga_id = due.id AND waiting_for ->> 'job' = $1 AND next_attempt_at > now()",
    )
    .bind::<t::Text, _>(job.to_string())
    .execute(&mut c)
    .await?;
    Ok(())
}

/// Reserves the id of a saga that must never start. A late insert of the saga violates [`ID_TAKEN`] and finds it ended.
/// An existing saga is left unchanged, so call this first and [`request_undo`] after it. Returns false if the saga
/// exists.
///
/// # Errors
/// Those of the database.
pub async fn tombstone(
    mut c: &Conn,
    ctx: &Ctx,
    id: Uuid,
    kind: &str,
    subject: &str,
    why: &str,
) -> Result<bool> {
    let inserted = sql_query(
        "INSERT INTO sagas (id, kind, version, subject, status, input, error, cause, next_run_at, fence, request_id, \
             created_at, updated_at, finished_at) \
         VALUES ($1, $2, 0, $3, 'undone', '{}', $4, 'cancelled', now(), 0, $6, $5, $5, $5) ON CONFLICT (id) DO NOTHING",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(kind)
    .bind::<t::Text, _>(subject)
    .bind::<t::Text, _>(replace_nul(why))
    .bind::<t::Timestamptz, _>(clock::now())
    .bind::<t::Text, _>(&*ctx.request_id)
    .execute(&mut c)
    .await?;
    Ok(inserted > 0)
}

/// Replaces NUL characters, which PostgreSQL cannot store, in texts from other services.
pub(crate) fn replace_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
