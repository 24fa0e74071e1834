//! Statements of builds. Each takes the connection, then the caller's scope.

use database::Conn;
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
    upsert::excluded,
};
use diesel_async::RunQueryDsl;
use domain::{BuildId, Error, Result, resource::Environment};
use identity::PlatformScope;

use super::model::BuildRow;
use crate::schema::builds::dsl as b;

/// Maximum number of builds in a list. The contract defines no pages for it, and a history is unbounded.
pub(crate) const LIST_LIMIT: i64 = 100;

/// Returns the newest builds of a platform, newest first.
pub(crate) async fn newest(mut c: &Conn, scope: &PlatformScope) -> Result<Vec<BuildRow>> {
    Ok(b::builds
        .filter(b::platform_id.eq(scope.id()))
        .select(BuildRow::as_select())
        .order((b::created_at.desc(), b::id.desc()))
        .limit(LIST_LIMIT)
        .load(&mut c)
        .await?)
}

/// Returns the newest build of an environment.
pub(crate) async fn latest(
    mut c: &Conn,
    scope: &PlatformScope,
    environment: Environment,
) -> Result<BuildRow> {
    b::builds
        .filter(b::platform_id.eq(scope.id()))
        .filter(b::environment.eq(environment))
        .select(BuildRow::as_select())
        .order((b::created_at.desc(), b::id.desc()))
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("build of environment", environment))
}

/// Locks a build until the transaction ends.
pub(crate) async fn lock_for_update(c: &Conn, scope: &PlatformScope, id: BuildId) -> Result<BuildRow> {
    find(c, scope, id).await?.ok_or_else(|| Error::not_found("build", id))
}

/// Locks a build until the transaction ends, if it exists.
pub(crate) async fn find(mut c: &Conn, scope: &PlatformScope, id: BuildId) -> Result<Option<BuildRow>> {
    Ok(b::builds
        .filter(b::platform_id.eq(scope.id()))
        .filter(b::id.eq(id))
        .select(BuildRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// Inserts a build.
pub(crate) fn insert(row: BuildRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(row)
}

/// Inserts a build, if there is one.
pub(crate) fn insert_any(
    row: Option<BuildRow>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(Vec::from_iter(row))
}

/// Updates a build that the transaction has locked.
pub(crate) fn update(row: BuildRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(b::builds.filter(b::id.eq(id))).set(row)
}

/// Inserts a build, or updates it if the transaction has locked it.
pub(crate) fn upsert(row: BuildRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(row.clone()).on_conflict(b::id).do_update().set(row)
}

/// Records the end of a build, if there is one.
pub(crate) fn upsert_any(
    row: Option<BuildRow>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(Vec::from_iter(row)).on_conflict(b::id).do_update().set((
        b::build_status.eq(excluded(b::build_status)),
        b::completed_at.eq(excluded(b::completed_at)),
        b::updated_at.eq(excluded(b::updated_at)),
    ))
}
