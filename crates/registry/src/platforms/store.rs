//! Statements of platforms. Each takes the connection, then the caller's scope.

use chrono::{DateTime, Utc};
use database::{Conn, CounterSource, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, OptionalExtension, QueryDsl, SelectableHelper,
    dsl::sql,
    query_builder::{QueryFragment, QueryId},
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Limit, Page, PlatformId, Result, Slug, platform::PlatformStatus};
use identity::{PlatformScope, Scope};

use super::model::PlatformRow;
use crate::{schema::platforms::dsl as p, visibility};

/// Counter of the platforms that are not deleted.
pub(crate) const COUNTER: &str = "platforms";

/// Source of [`COUNTER`].
pub(crate) const COUNTER_SOURCE: CounterSource = CounterSource {
    name: "platforms",
    sql: "SELECT parent, 'platforms' AS key, (SELECT count(*) FROM platforms WHERE deleted_at IS NULL) AS found \
          FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
};

fn not_found(scope: &PlatformScope) -> Error {
    Error::not_found("platform", scope.id())
}

/// Returns a platform. With `deleted`, also a deleted one.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, deleted: bool) -> Result<PlatformRow> {
    p::platforms
        .filter(p::id.eq(scope.id()))
        .filter(p::deleted_at.is_null().or(deleted.into_sql::<Bool>()))
        .select(PlatformRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(scope))
}

/// Returns the result of `found`, if the platform is not deleted. Both statements share one round trip.
pub(crate) async fn in_existing_platform<T>(
    c: &Conn,
    scope: &PlatformScope,
    found: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::try_join!(check_exists(c, scope), found).map(|((), found)| found)
}

/// Checks that a platform is not deleted. Costs no round trip when sent together with the statement that depends on it.
pub(crate) async fn check_exists(mut c: &Conn, scope: &PlatformScope) -> Result<()> {
    if scope.subtree_roots().is_some() {
        return visibility::platform_status_via_entity(c, scope.id())
            .await?
            .map(drop)
            .ok_or_else(|| not_found(scope));
    }
    p::platforms
        .filter(p::id.eq(scope.id()))
        .filter(p::deleted_at.is_null())
        .select(p::id)
        .first::<PlatformId>(&mut c)
        .await
        .optional()?
        .map(drop)
        .ok_or_else(|| not_found(scope))
}

/// Locks a platform that is not deleted, until the transaction ends. Conflicts with [`lock_shared`].
pub(crate) async fn lock_for_update(mut c: &Conn, scope: &PlatformScope) -> Result<PlatformRow> {
    p::platforms
        .filter(p::id.eq(scope.id()))
        .filter(p::deleted_at.is_null())
        .select(PlatformRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(scope))
}

/// Locks a platform against deletion until the transaction ends, and returns its status.
pub(crate) async fn lock_shared(mut c: &Conn, scope: &PlatformScope) -> Result<PlatformStatus> {
    if scope.subtree_roots().is_some() {
        return visibility::lock_platform_via_entity(c, scope.id()).await?.ok_or_else(|| not_found(scope));
    }
    p::platforms
        .filter(p::id.eq(scope.id()))
        .filter(p::deleted_at.is_null())
        .select(p::status)
        .for_key_share()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(scope))
}

/// Returns true if a platform that is not deleted has the slug.
pub(crate) async fn slug_taken(mut c: &Conn, slug: &Slug) -> Result<bool> {
    let query = p::platforms.filter(p::slug.eq(slug)).filter(p::deleted_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(query)).get_result(&mut c).await?)
}

/// Returns the platforms of a user that are not deleted.
pub(crate) async fn owned(mut c: &Conn, owner: &str) -> Result<Vec<PlatformId>> {
    let owned = p::platforms.filter(p::owner_user_id.eq(owner)).filter(p::deleted_at.is_null());
    Ok(owned.select(p::id).load(&mut c).await?)
}

/// Returns a page of the platforms in the caller's scope, newest first.
pub(crate) async fn page(c: &Conn, scope: &Scope, limit: Limit, after: &Cursor) -> Result<Page<PlatformRow>> {
    let rows = database::newest!(
        p::platforms.filter(p::deleted_at.is_null()).select(PlatformRow::as_select()),
        p,
        after,
        &after.id,
        limit
    );
    let (rows, total) = match scope.only_platforms() {
        // Both statements are sent before the first answer arrives: one round trip.
        None => {
            let mut pipeline = c;
            tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, counter_total(c, COUNTER))?
        }
        // Counted, because a caller has few platforms that were granted individually.
        Some(granted) => {
            let (mut pipeline, mut other) = (c, c);
            let existing = p::platforms.filter(p::id.eq_any(granted.clone())).filter(p::deleted_at.is_null());
            let total = async { Ok::<i64, Error>(existing.count().get_result(&mut other).await?) };
            let rows = async { Ok(rows.filter(p::id.eq_any(granted)).load(&mut pipeline).await?) };
            tokio::try_join!(rows, total)?
        }
    };
    Ok(Page::new(rows, limit, total, COUNTER, PlatformRow::cursor))
}

/// Locks a platform whose paid period is over, until the transaction ends. Skips locked rows.
pub(crate) async fn lock_one_to_end(
    mut c: &Conn,
    _: &Scope,
    now: DateTime<Utc>,
) -> Result<Option<PlatformRow>> {
    Ok(p::platforms
        // A literal, to match the index condition: the planner cannot match it with a parameter.
        .filter(sql::<Bool>("status = 'pending_cancellation'"))
        .filter(p::period_ends_at.le(now))
        .order(p::period_ends_at)
        .select(PlatformRow::as_select())
        .for_no_key_update()
        .skip_locked()
        .first(&mut c)
        .await
        .optional()?)
}

/// Inserts a platform.
pub(crate) fn insert(row: PlatformRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(p::platforms).values(row)
}

/// Updates a platform that the transaction has locked.
pub(crate) fn update(row: PlatformRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id: PlatformId = row.id.clone();
    diesel::update(p::platforms.filter(p::id.eq(id))).set(row)
}
