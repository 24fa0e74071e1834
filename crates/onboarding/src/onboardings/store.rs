//! The SQL statements of onboardings.

use std::collections::HashMap;

use database::Conn;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{
    Cursor, Error, Limit, PlatformId, Result,
    onboarding::SessionStatus,
    saga::{Cause, SagaStatus},
};
use identity::Scope;
use saga::Filter;
use serde_json::Value;
use uuid::Uuid;

use super::model::OnboardingRow;
use crate::schema::sessions::dsl as s;

/// The counter of all onboardings.
pub(crate) const COUNTER: &str = "sessions";

/// Reads the row of an onboarding. The caller checks access by its owner.
pub(crate) async fn row(mut c: &Conn, _: &Scope, id: Uuid) -> Result<OnboardingRow> {
    let row = s::sessions.find(id).select(OnboardingRow::as_select()).first(&mut c).await.optional()?;
    row.ok_or_else(|| Error::not_found("onboarding", id))
}

/// Reads the rows of several onboardings, by id.
pub(crate) async fn rows(mut c: &Conn, _: &Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, OnboardingRow>> {
    let rows: Vec<OnboardingRow> =
        s::sessions.filter(s::id.eq_any(ids)).select(OnboardingRow::as_select()).load(&mut c).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Reads the id of the newest onboarding of a platform.
pub(crate) async fn newest_for_platform(
    c: &Conn,
    scope: &Scope,
    platform: &PlatformId,
) -> Result<Option<Uuid>> {
    let filter = Filter { statuses: &[], causes: &[], subject: Some(platform.as_str()) };
    let newest = saga::page(c, scope, &filter, Limit::ONE, &Cursor::start()).await?;
    Ok(newest.into_iter().next().map(|saga| saga.id))
}

/// The filter of a list. Every saga of this database is an onboarding.
pub(crate) const fn filter(status: Option<SessionStatus>) -> Filter<'static> {
    let (statuses, causes) = saga_filter(status);
    Filter { statuses, causes, subject: None }
}

/// The saga statuses and causes of a status.
const fn saga_filter(status: Option<SessionStatus>) -> (&'static [SagaStatus], &'static [Cause]) {
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

/// The insert of an onboarding.
pub(crate) fn insert(row: OnboardingRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(s::sessions).values(row)
}

/// The update of the client's metadata of an onboarding.
pub(crate) fn set_metadata(
    id: Uuid,
    metadata: Value,
    now: chrono::DateTime<chrono::Utc>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::update(s::sessions.filter(s::id.eq(id))).set((s::metadata.eq(metadata), s::updated_at.eq(now)))
}
