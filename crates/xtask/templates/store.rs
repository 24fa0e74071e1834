//! The statements of ${words}. Each takes the connection, then the caller's scope.

use identity::PlatformScope;
use database::{Conn, Tally, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Limit, Page, PlatformId, Result};
use uuid::Uuid;

use crate::schema::${plural}::dsl as t;
use super::model::${Singular};

/// Counter of the ${words} of a platform.
pub(crate) fn counter(platform: &PlatformId) -> String {
    format!("${plural}:{platform}")
}

/// The recount of [`counter`].
pub(crate) const TALLY: Tally = Tally {
    name: "${words}",
    sql: "SELECT p.id AS parent, '${plural}:' || p.id AS key, \
              (SELECT count(*) FROM ${plural} r WHERE r.platform_id = p.id) AS found \
          FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p",
};

fn not_found(id: Uuid) -> Error {
    Error::not_found("${word}", id)
}

/// Returns one ${word}.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: Uuid) -> Result<${Singular}> {
    t::${plural}
        .filter(t::platform_id.eq(scope.id()))
        .filter(t::id.eq(id))
        .select(${Singular}::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns one ${word}, locked until the transaction ends.
pub(crate) async fn lock_for_update(mut c: &Conn, scope: &PlatformScope, id: Uuid) -> Result<${Singular}> {
    t::${plural}
        .filter(t::platform_id.eq(scope.id()))
        .filter(t::id.eq(id))
        .select(${Singular}::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Returns a page of a platform's ${words}, newest first.
pub(crate) async fn page(
    c: &Conn,
    scope: &PlatformScope,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<${Singular}>> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let before = t::created_at.lt(after.at).or(t::created_at.eq(after.at).and(t::id.lt(last)));
    let rows = t::${plural}
        .filter(t::platform_id.eq(scope.id()))
        // Redundant, but it lets the index scan start at the cursor instead of at the newest row.
        .filter(t::created_at.le(after.at))
        .filter(before)
        .select(${Singular}::as_select())
        .order((t::created_at.desc(), t::id.desc()))
        .limit(limit.rows());
    let (mut pipeline, key) = (c, counter(scope.id()));
    let (rows, total) =
        tokio::try_join!(async { Ok(rows.load(&mut pipeline).await?) }, counter_total(c, &key))?;
    Ok(Page::new(rows, limit, total, &key, ${Singular}::cursor))
}

/// Inserts a ${word}.
pub(crate) fn insert(row: ${Singular}) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(t::${plural}).values(row)
}

/// Updates a ${word} that the transaction has locked.
pub(crate) fn update(row: ${Singular}) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(t::${plural}.filter(t::id.eq(id))).set(row)
}

/// Deletes a ${word} that the transaction has locked.
pub(crate) fn delete(id: Uuid) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::delete(t::${plural}.filter(t::id.eq(id)))
}
