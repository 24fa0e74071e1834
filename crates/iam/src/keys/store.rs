//! SQL statements of keys.

use chrono::{DateTime, Utc};
use database::{Conn, total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    dsl::sql,
    helper_types::IntoBoxed,
    pg::Pg,
    query_builder::{QueryFragment, QueryId},
    sql_query, sql_types as t,
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Error, Limit, Page, PlatformId, Result};
use uuid::Uuid;

use super::model::KeyRow;
use crate::{
    grants::AdminScope,
    schema::keys::{self, dsl as k},
};

/// Filter of a list.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) platform: Option<PlatformId>,
    /// Includes revoked keys if true.
    pub(super) revoked: bool,
}

impl Filter {
    /// The name of the list. A cursor of a different filter is rejected.
    pub(super) fn list(&self) -> String {
        format!("keys {self:?}")
    }
}

/// A page of the keys that the caller administers, newest first, with their total.
pub(super) async fn page(
    c: &Conn,
    own: &AdminScope,
    filter: &Filter,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<KeyRow>> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let rows = database::newest!(matching(own, filter).select(KeyRow::as_select()), k, after, last, limit);
    let mut pipeline = c;
    let rows = async { Ok(rows.load(&mut pipeline).await?) };
    let count = total(c, || matching(own, filter).select(sql::<t::Integer>("1")));
    let (rows, total) = tokio::try_join!(rows, count)?;
    Ok(Page::new(rows, limit, total, &filter.list(), KeyRow::cursor))
}

/// The keys that match, without order and selection.
fn matching<'a>(own: &'a AdminScope, filter: &'a Filter) -> IntoBoxed<'a, keys::table, Pg> {
    let mut rows = match own {
        AdminScope::Everywhere(roles) => keys::table.filter(k::role.eq_any(roles)).into_boxed(),
        AdminScope::Within { platforms, entities } => {
            // The same function as in the policy of the table, because an index on arrays cannot be used under the policy.
            let of_entities = sql::<t::Nullable<t::Bool>>("keys.id = ANY ((SELECT keys_of(")
                .bind::<t::Array<t::Text>, _>(entities)
                .sql("))::uuid[])");
            keys::table.filter(k::platform_id.eq_any(platforms).or(of_entities)).into_boxed()
        }
    };
    if let Some(platform) = &filter.platform {
        rows = rows.filter(k::platform_id.eq(platform));
    }
    if !filter.revoked {
        rows = rows.filter(k::revoked_at.is_null());
    }
    rows
}

/// Locks a key that is not revoked until the transaction ends.
pub(super) async fn lock_for_update(mut c: &Conn, id: Uuid) -> Result<KeyRow> {
    k::keys
        .filter(k::id.eq(id))
        .filter(k::revoked_at.is_null())
        .select(KeyRow::as_select())
        .for_no_key_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| Error::not_found("key", id))
}

/// Returns a key that is not revoked.
pub(super) async fn get(mut c: &Conn, id: Uuid) -> Result<KeyRow> {
    let found = k::keys.filter(k::id.eq(id)).filter(k::revoked_at.is_null()).select(KeyRow::as_select());
    found.first(&mut c).await.optional()?.ok_or_else(|| Error::not_found("key", id))
}

/// Returns a key, which may be expired or revoked, with the digest of its secret.
pub(super) async fn with_digest(mut c: &Conn, id: Uuid) -> Result<Option<(KeyRow, Vec<u8>)>> {
    let found = k::keys.filter(k::id.eq(id)).select((KeyRow::as_select(), k::secret_digest));
    Ok(found.first(&mut c).await.optional()?)
}

/// Inserts a new key.
pub(super) fn insert(
    row: KeyRow,
    secret_digest: [u8; 32],
) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::insert_into(k::keys).values((row, k::secret_digest.eq(secret_digest.to_vec())))
}

/// Marks a key that the transaction has locked as revoked.
pub(super) fn revoke(id: Uuid, at: DateTime<Utc>) -> impl QueryFragment<Pg> + QueryId + Send + 'static {
    diesel::update(k::keys.filter(k::id.eq(id))).set(k::revoked_at.eq(at))
}

/// Stores the times at which keys were last used, at most once a minute per key.
pub(super) async fn mark_used(mut c: &Conn, ids: &[Uuid], times: &[DateTime<Utc>]) -> Result<()> {
    sql_query(
        "UPDATE keys SET last_used_at = used.at FROM unnest($1, $2) AS used (id, at) \
         WHERE keys.id = used.id \
         AND (keys.last_used_at IS NULL OR keys.last_used_at <= used.at - interval '1 minute')",
    )
    .bind::<t::Array<t::Uuid>, _>(ids)
    .bind::<t::Array<t::Timestamptz>, _>(times)
    .execute(&mut c)
    .await?;
    Ok(())
}
