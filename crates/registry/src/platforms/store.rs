//! The statements of platforms. Each takes the caller's scope first.

use chrono::{DateTime, Utc};
use database::{Conn, Tally, counter_total};
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
use crate::{reach, schema::platforms::dsl as p};

/// Counter of the platforms that are not deleted.
pub(crate) const COUNTER: &str = "platforms";

/// The recount of [`COUNTER`].
pub(crate) const TALLY: Tally = Tally {
    name: "platforms",
    sql: "SELECT parent, 'platforms' AS key, (SELECT count(*) FROM platforms WHERE deleted_at IS NULL) AS found \
          FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
};

fn not_found(scope: &PlatformScope) -> Error {
    Error::not_found("platform", scope.id())
}

/// A platform; one that is deleted only where `deleted` says so.
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

/// What belongs to a platform that is not deleted: one round trip.
pub(crate) async fn of_live<T>(
    c: &Conn,
    scope: &PlatformScope,
    found: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::try_join!(live(c, scope), found).map(|((), found)| found)
}

/// Finds out whether a platform exists and is not deleted. Sent together with the statement whose answer depends on
/// it, it costs no round trip.
pub(crate) async fn live(mut c: &Conn, scope: &PlatformScope) -> Result<()> {
    if scope.subtree_roots().is_some() {
        return reach::home(c, scope.id()).await?.map(drop).ok_or_else(|| not_found(scope));
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

/// A platform that is not deleted, held until the transaction ends, also against whoever [`hold`]s it.
pub(crate) async fn lock(mut c: &Conn, scope: &PlatformScope) -> Result<PlatformRow> {
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

/// Holds a platform against deletion until the transaction ends; it must exist and not be deleted.
pub(crate) async fn hold(mut c: &Conn, scope: &PlatformScope) -> Result<PlatformStatus> {
    if scope.subtree_roots().is_some() {
        return reach::held_home(c, scope.id()).await?.ok_or_else(|| not_found(scope));
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

/// Whether a platform that is not deleted has the slug.
pub(crate) async fn slug_taken(mut c: &Conn, slug: &Slug) -> Result<bool> {
    let query = p::platforms.filter(p::slug.eq(slug)).filter(p::deleted_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(query)).get_result(&mut c).await?)
}

/// The platforms of someone that are not deleted: a person has few.
pub(crate) async fn owned(mut c: &Conn, owner: &str) -> Result<Vec<PlatformId>> {
    let own = p::platforms.filter(p::owner_user_id.eq(owner)).filter(p::deleted_at.is_null());
    Ok(own.select(p::id).load(&mut c).await?)
}

/// A page of the platforms in the caller's scope, newest first.
pub(crate) async fn page(c: &Conn, scope: &Scope, limit: Limit, after: &Cursor) -> Result<Page<PlatformRow>> {
    let rows = database::newest!(
        p::platforms.filter(p::deleted_at.is_null()).select(PlatformRow::as_select()),
        p,
        after,
        &after.id,
        limit
    );
    let (rows, total) = match scope.only_platforms() {
        // Both statements are sent before the first is answered: one round trip.
        None => {
            let mut pipeline = c;
            tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, counter_total(c, COUNTER))?
        }
        // As many as someone was granted one by one: they are counted.
        Some(own) => {
            let (mut pipeline, mut other) = (c, c);
            let own_live = p::platforms.filter(p::id.eq_any(own.clone())).filter(p::deleted_at.is_null());
            let total = async { Ok::<i64, Error>(own_live.count().get_result(&mut other).await?) };
            let rows = async { Ok(rows.filter(p::id.eq_any(own)).load(&mut pipeline).await?) };
            tokio::try_join!(rows, total)?
        }
    };
    Ok(Page::new(rows, limit, total, COUNTER, PlatformRow::place))
}

/// A platform whose paid period is over, held until the transaction ends; one that another replica holds is passed.
pub(crate) async fn lock_one_to_end(
    mut c: &Conn,
    _: &Scope,
    now: DateTime<Utc>,
) -> Result<Option<PlatformRow>> {
    Ok(p::platforms
        // Literally, as the index has it: of a value that is yet to come the planner cannot know it.
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

/// The insert of a new platform.
pub(crate) fn insert(row: PlatformRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(p::platforms).values(row)
}

/// The update of a platform that the transaction holds.
pub(crate) fn update(row: PlatformRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id: PlatformId = row.id.clone();
    diesel::update(p::platforms.filter(p::id.eq(id))).set(row)
}
