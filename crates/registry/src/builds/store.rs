//! The statements of builds. Each takes the caller's scope first.

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

/// Builds in a list; the contract's list has no pages, and a history has no end.
pub(crate) const LISTED: i64 = 100;

/// The newest builds of a platform, newest first.
pub(crate) async fn newest(mut c: &Conn, scope: &PlatformScope) -> Result<Vec<BuildRow>> {
    Ok(b::builds
        .filter(b::platform_id.eq(scope.id()))
        .select(BuildRow::as_select())
        .order((b::created_at.desc(), b::id.desc()))
        .limit(LISTED)
        .load(&mut c)
        .await?)
}

/// The newest build of an environment.
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

/// A build, held until the transaction ends.
pub(crate) async fn lock(c: &Conn, scope: &PlatformScope, id: BuildId) -> Result<BuildRow> {
    find(c, scope, id).await?.ok_or_else(|| Error::not_found("build", id))
}

/// A build if it was begun, held until the transaction ends.
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

/// The insert of a build.
pub(crate) fn insert(row: BuildRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(row)
}

/// The insert of a build, if there is one.
pub(crate) fn insert_any(
    row: Option<BuildRow>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(Vec::from_iter(row))
}

/// The update of a build that the transaction holds.
pub(crate) fn update(row: BuildRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(b::builds.filter(b::id.eq(id))).set(row)
}

/// The insert of a build, or the update of one that the transaction holds.
pub(crate) fn put(row: BuildRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(row.clone()).on_conflict(b::id).do_update().set(row)
}

/// The same for a build that may have nothing to be told.
pub(crate) fn put_any(
    row: Option<BuildRow>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(b::builds).values(Vec::from_iter(row)).on_conflict(b::id).do_update().set((
        b::build_status.eq(excluded(b::build_status)),
        b::completed_at.eq(excluded(b::completed_at)),
        b::updated_at.eq(excluded(b::updated_at)),
    ))
}
