//! The statements of those who make sagas, look at them, and ask something of them.

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
pub struct Told {
    pub saga: Saga,
    pub steps: Vec<StepRow>,
}

impl Told {
    /// The output of a step, if it is there.
    pub fn output<T: DeserializeOwned>(&self, step: StepKey<T>) -> Option<T> {
        let row = self.steps.iter().find(|row| row.name == step.as_str())?;
        T::deserialize(row.output.as_ref()?).ok()
    }
}

/// The constraint that the insert of a saga violates when its id is there already: as a saga, or as the
/// [`tombstone`] of one. Expected wherever the id is chosen by another; left unexpected, it means "two writers met".
pub const ID_TAKEN: &str = "sagas_pkey";

/// The insert of a saga; with [`insert_steps`] part of the statement that makes it.
pub fn insert(row: Saga) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    // It is due by the clock of the database, which claims compare with: those of the processes may differ.
    diesel::insert_into(sagas::table).values((row, sagas::next_run_at.eq(sql::<t::Timestamptz>("now()"))))
}

/// The insert of a saga's steps.
pub fn insert_steps(rows: Vec<StepRow>) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(saga_steps::table).values(rows)
}

/// A saga and its steps, as they stood at one moment: one statement.
///
/// # Errors
/// [`domain::Kind::NotFound`].
pub async fn by_id(mut c: &Conn, thing: &str, id: Uuid) -> Result<Told> {
    let rows: Vec<(Saga, Option<StepRow>)> = sagas::table
        .left_join(saga_steps::table)
        .filter(sagas::id.eq(id))
        .order(saga_steps::position)
        .select((Saga::as_select(), Option::<StepRow>::as_select()))
        .load(&mut c)
        .await?;
    let (mut sagas, steps): (Vec<Saga>, Vec<_>) = rows.into_iter().unzip();
    let saga = sagas.pop().ok_or_else(|| Error::not_found(thing, id))?;
    Ok(Told { saga, steps: steps.into_iter().flatten().collect() })
}

/// The steps of several sagas, by saga and position: one statement for a whole page.
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

/// Which sagas a list shows; an empty field lets all pass.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    pub statuses: &'a [SagaStatus],
    pub causes: &'a [Cause],
    pub subject: Option<&'a str>,
}

impl Filter<'_> {
    /// Whether it lets all pass.
    pub(crate) fn is_everything(&self) -> bool {
        self.statuses.is_empty() && self.causes.is_empty() && self.subject.is_none()
    }

    /// The statuses and causes for the statements; a status given twice would be walked twice.
    fn texts(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let mut statuses: Vec<_> = self.statuses.iter().map(SagaStatus::as_str).collect();
        statuses.sort_unstable();
        statuses.dedup();
        (statuses, self.causes.iter().map(Cause::as_str).collect())
    }
}

/// A page of sagas, newest first.
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
    // One text per index. Several statuses are several walks, so that none reads past the rows of other statuses.
    let text = match (filter.subject, filter.statuses) {
        (None, []) => {
            "SELECT * FROM sagas WHERE (created_at, id) < ($1, $2) \
                 AND $4::text IS NULL AND cardinality($5::text[]) = 0 AND (cardinality($6) = 0 OR cause = ANY ($6)) \
             ORDER BY created_at DESC, id DESC LIMIT $3"
        }
        (None, _) => {
            "SELECT found.* FROM unnest($5::text[]) AS wanted, LATERAL (SELECT * FROM sagas \
                 WHERE status = wanted AND (created_at, id) < ($1, $2) \
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

/// What there is of a flow: each saga that is not undone, with its status and its subject. For flows that have few.
///
/// # Errors
/// Those of the database.
pub async fn of_flow(mut c: &Conn, flow: &str) -> Result<Vec<(Uuid, SagaStatus, String)>> {
    Ok(sagas::table
        .filter(sagas::flow.eq(flow))
        // Literally, as the index has it.
        .filter(sql::<t::Bool>("status <> 'undone'"))
        .select((sagas::id, sagas::status, sagas::subject))
        .load(&mut c)
        .await?)
}

/// How many sagas pass a filter: through the index of subjects or statuses, if one of them is given.
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

/// Asks for a saga to be undone: a live one by its runner at its next write, a completed one from its end. Answers
/// whether there was something to ask: not of one that is undone or stuck. Whoever asks also tells the engine's
/// `wake`, when it is committed.
///
/// # Errors
/// Those of the database.
pub async fn ask_undo(mut c: &Conn, id: Uuid, why: &str) -> Result<bool> {
    // One that is being undone already keeps its pauses.
    let asked = sql_query(
        "UPDATE sagas SET undo_asked = coalesce(undo_asked, $2), updated_at = $3, finished_at = NULL, \
             paused_at = NULL, revision = revision + 1, \
             next_run_at = CASE WHEN status = 'undoing' THEN next_run_at ELSE now() END, \
             cause = CASE WHEN status = 'completed' THEN 'cancelled' ELSE cause END, \
             error = CASE WHEN status = 'completed' THEN $2 ELSE error END, \
             status = CASE WHEN status = 'completed' THEN 'undoing' ELSE status END \
         WHERE id = $1 AND status IN ('pending', 'running', 'undoing', 'completed')",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(storable(why))
    .bind::<t::Timestamptz, _>(clock::now())
    .execute(&mut c)
    .await?;
    Ok(asked > 0)
}

/// Has a stuck saga go on where it stopped, forth or back, with all its tries before it. Answers whether there was
/// one. Whoever asks also tells the engine's `wake`, when it is committed.
///
/// # Errors
/// Those of the database.
pub async fn retry(mut c: &Conn, id: Uuid) -> Result<bool> {
    // A failed step of a saga that goes on is tried anew; of one that goes back, it is still to be undone.
    let again = sql_query(
        "WITH again AS (UPDATE sagas SET status = CASE WHEN cause IS NULL THEN 'running' ELSE 'undoing' END, \
             error = CASE WHEN cause IS NULL THEN NULL ELSE error END, \
             next_run_at = now(), finished_at = NULL, updated_at = $2, revision = revision + 1 \
             WHERE id = $1 AND status = 'stuck' RETURNING id, cause IS NULL AS forth), \
         forth AS (UPDATE saga_steps SET attempts = 0, outages = 0, status = 'pending', waiting_for = NULL \
             FROM again WHERE again.forth AND saga_id = again.id AND status = 'failed'), \
         back AS (UPDATE saga_steps SET undo_attempts = 0, undo_outages = 0, waiting_for = NULL \
             FROM again WHERE NOT again.forth AND saga_id = again.id AND status <> 'compensated') \
         SELECT count(*)::bigint AS n FROM again",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Timestamptz, _>(clock::now())
    .get_result::<Count>(&mut c)
    .await?;
    Ok(again.n > 0)
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = t::BigInt)]
    n: i64,
}

/// Has a live saga rest from its runner's next write on. Answers whether there was one that did not rest already.
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

/// Has a saga go on that rests. Answers whether there was one. Whoever asks also tells the engine's `wake`, when it is
/// committed.
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

/// Ends a stuck saga as it stands: nobody will try it any more. Answers whether there was one.
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
    .bind::<t::Text, _>(storable(why))
    .bind::<t::Timestamptz, _>(clock::now())
    .execute(&mut c)
    .await?;
    Ok(discarded > 0)
}

/// Tells who follows a saga that something beside its rows has changed.
pub fn touch(id: Uuid) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::update(sagas::table.find(id)).set(sagas::revision.eq(sagas::revision + 1))
}

/// Which of these sagas there are: the revision that each has come to, and its status.
pub(crate) async fn revisions(mut c: &Conn, ids: &[Uuid]) -> Result<Vec<(Uuid, i64, SagaStatus)>> {
    let found = sagas::table.filter(sagas::id.eq_any(ids));
    Ok(found.select((sagas::id, sagas::revision, sagas::status)).load(&mut c).await?)
}

#[derive(QueryableByName)]
struct Awaited {
    #[diesel(sql_type = t::Text)]
    job: String,
}

/// The jobs of provisioning that live sagas wait for.
///
/// # Errors
/// Those of the database.
pub async fn awaited_jobs(mut c: &Conn) -> Result<Vec<Uuid>> {
    // From the live sagas, which are few, to their steps: the planner takes most steps for ones that wait.
    let found: Vec<Awaited> = sql_query(
        "SELECT DISTINCT job FROM sagas, LATERAL (SELECT waiting_for ->> 'job' AS job FROM saga_steps \
             WHERE saga_id = sagas.id AND waiting_for ->> 'job' IS NOT NULL OFFSET 0) AS steps \
         WHERE status IN ('pending', 'running', 'undoing')",
    )
    .load(&mut c)
    .await?;
    Ok(found.iter().filter_map(|row| Uuid::parse_str(&row.job).ok()).collect())
}

/// Has the steps asked again now that wait for this job of provisioning, which has ended. Whoever calls this also wakes
/// the engine.
///
/// # Errors
/// Those of the database.
pub async fn job_ended(mut c: &Conn, job: Uuid) -> Result<()> {
    // Sagas before their steps, as runners write them: in another order the two would wait for each other.
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

/// Keeps the id of a saga that is never to begin: a request for it that comes late meets [`ID_TAKEN`] and finds it
/// ended. A saga that is there already is left as it is; so this comes first, and [`ask_undo`] after it. Answers whether
/// none was there.
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
    let kept = sql_query(
        "INSERT INTO sagas (id, kind, version, subject, status, input, error, cause, next_run_at, fence, request_id, \
             created_at, updated_at, finished_at) \
         VALUES ($1, $2, 0, $3, 'undone', '{}', $4, 'cancelled', now(), 0, $6, $5, $5, $5) ON CONFLICT (id) DO NOTHING",
    )
    .bind::<t::Uuid, _>(id)
    .bind::<t::Text, _>(kind)
    .bind::<t::Text, _>(subject)
    .bind::<t::Text, _>(storable(why))
    .bind::<t::Timestamptz, _>(clock::now())
    .bind::<t::Text, _>(&*ctx.request_id)
    .execute(&mut c)
    .await?;
    Ok(kept > 0)
}

/// The text without what Postgres has no room for; a text of others may hold it.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
