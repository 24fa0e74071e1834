//! The statements of sessions.

use std::collections::HashMap;

use database::Conn;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{
    Cursor, Error, Limit, PlatformId, Result, Total,
    onboarding::SessionStatus,
    saga::{Cause, SagaStatus},
};
use identity::Scope;
use saga::{Filter, Saga, Told};
use serde_json::Value;
use uuid::Uuid;

use super::model::SessionRow;
use crate::schema::sessions::dsl as s;

/// Counter of all sessions.
pub(crate) const COUNTER: &str = "sessions";

/// A session and its saga: one round trip. Who may see it is decided by its owner.
pub(crate) async fn get(c: &Conn, _: &Scope, id: Uuid) -> Result<(SessionRow, Told)> {
    let mut pipeline = c;
    let row = s::sessions.find(id).select(SessionRow::as_select());
    let (row, told) = tokio::try_join!(
        async { Ok(row.first(&mut pipeline).await.optional()?) },
        saga::by_id(c, "onboarding", id)
    )?;
    Ok((row.ok_or_else(|| Error::not_found("onboarding", id))?, told))
}

/// The newest session that was to make a platform.
pub(crate) async fn newest_of(c: &Conn, scope: &Scope, platform: &PlatformId) -> Result<Option<Uuid>> {
    let filter = Filter { statuses: &[], causes: &[], subject: Some(platform.as_str()) };
    let newest = saga::page(c, scope, &filter, Limit::ONE, &Cursor::start()).await?;
    Ok(newest.into_iter().next().map(|saga| saga.id))
}

/// A page of sessions with their sagas, newest first. Every saga of this database is an onboarding.
pub(crate) async fn page(
    mut c: &Conn,
    scope: &Scope,
    status: Option<SessionStatus>,
    limit: Limit,
    after: &Cursor,
) -> Result<Vec<(SessionRow, Saga)>> {
    let (statuses, causes) = sagas_of(status);
    let sagas = saga::page(c, scope, &filter(statuses, causes), limit, after).await?;
    let ids: Vec<Uuid> = sagas.iter().map(|saga| saga.id).collect();
    let rows: Vec<SessionRow> =
        s::sessions.filter(s::id.eq_any(ids)).select(SessionRow::as_select()).load(&mut c).await?;
    let mut rows: HashMap<Uuid, SessionRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    Ok(sagas.into_iter().filter_map(|saga| Some((rows.remove(&saga.id)?, saga))).collect())
}

/// How many sessions have a status.
pub(crate) async fn count(c: &Conn, scope: &Scope, status: SessionStatus) -> Result<Total> {
    let (statuses, causes) = sagas_of(Some(status));
    saga::count(c, scope, &filter(statuses, causes)).await
}

const fn filter(statuses: &'static [SagaStatus], causes: &'static [Cause]) -> Filter<'static> {
    Filter { statuses, causes, subject: None }
}

/// The sagas that a status stands for.
const fn sagas_of(status: Option<SessionStatus>) -> (&'static [SagaStatus], &'static [Cause]) {
    match status {
        None => (&[], &[]),
        Some(SessionStatus::InProgress) => {
            (&[SagaStatus::Pending, SagaStatus::Running, SagaStatus::Undoing, SagaStatus::Stuck], &[])
        }
        Some(SessionStatus::Completed) => (&[SagaStatus::Completed], &[]),
        Some(SessionStatus::Failed) => {
            (&[SagaStatus::Undone], &[Cause::Failed, Cause::Expired, Cause::Discarded])
        }
        Some(SessionStatus::Cancelled) => (&[SagaStatus::Undone], &[Cause::Cancelled]),
    }
}

/// The insert of a session.
pub(crate) fn insert(row: SessionRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(s::sessions).values(row)
}

/// The update of what a client keeps with a session.
pub(crate) fn set_metadata(
    id: Uuid,
    metadata: Value,
    now: chrono::DateTime<chrono::Utc>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::update(s::sessions.filter(s::id.eq(id))).set((s::metadata.eq(metadata), s::updated_at.eq(now)))
}
