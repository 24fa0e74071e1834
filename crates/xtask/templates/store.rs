//! Statements of ${words}. Each takes the connection, then the caller's scope.

use identity::PlatformScope;
use database::{Conn, CounterSource, counter_total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Limit, Page, PlatformId, Result};

use crate::schema::${plural}::dsl as t;
use super::model::{${Singular}, ${Singular}Id};

/// Counter of the ${words} of a platform.
pub(crate) fn counter(platform: &PlatformId) -> String {
    format!("${plural}:{platform}")
}

/// Source of [`counter`].
pub(crate) const COUNTER_SOURCE: CounterSource = CounterSource {
    name: "${words}",
    sql: "SELECT p.id AS parent, '${plural}:' || p.id AS key, \
              (SELECT count(*) FROM ${plural} r WHERE r.platform_id = p.id) AS found \
          FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p",
};

fn not_found(id: ${Singular}Id) -> Error {
    Error::not_found("${word}", id)
}

/// Returns one ${word}.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: ${Singular}Id) -> Result<${Singular}> {
    t::${plural}
        .filter(t::platform_id.eq(scope.id()))
        .filter(t::id.eq(id))
        .select(${Singular}::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Locks one ${word} until the transaction ends.
pub(crate) async fn lock_for_update(mut c: &Conn, scope: &PlatformScope, id: ${Singular}Id) -> Result<${Singular}> {
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
    let last = ${Singular}Id::parse(&after.id).unwrap_or(${Singular}Id::MAX);
    let rows = database::newest!(
        t::${plural}.filter(t::platform_id.eq(scope.id())).select(${Singular}::as_select()),
        t,
        after,
        last,
        limit,
    );
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
pub(crate) fn delete(id: ${Singular}Id) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::delete(t::${plural}.filter(t::id.eq(id)))
}
