//! Statements of custom domains. Each takes the connection, then the caller's scope.

use chrono::{DateTime, TimeDelta, Utc};
use database::Conn;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, QueryableByName,
    SelectableHelper, TextExpressionMethods,
    dsl::sql,
    query_builder::{QueryFragment, QueryId},
    sql_query, sql_types as t,
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, DnsRecordId, DomainId, Error, Limit, Page, PlatformId, Result, resource::DomainStatus};
use identity::{PlatformScope, Scope};

use super::model::{CustomDomainRow, PendingDomain};
use crate::{
    schema::{custom_domains::dsl as d, platforms::dsl as p},
    subtree::{self, List},
    visibility,
};

/// Maximum number of domains in the pending list. The contract defines no pages for it.
pub(crate) const PENDING_LIMIT: i64 = 1000;

/// Name of the list of a platform's domains.
pub(crate) fn list(platform: &PlatformId) -> String {
    format!("custom_domains:{platform}")
}

fn not_found(id: DomainId) -> Error {
    Error::not_found("custom domain", id)
}

/// Returns a domain.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: DomainId) -> Result<CustomDomainRow> {
    d::custom_domains
        .filter(d::platform_id.eq(scope.id()))
        .filter(visibility::via_dns_record(scope, d::dns_record_id))
        .filter(d::id.eq(id))
        .select(CustomDomainRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Locks a domain until the transaction ends.
pub(crate) async fn lock_for_update(
    mut c: &Conn,
    scope: &PlatformScope,
    id: DomainId,
) -> Result<CustomDomainRow> {
    d::custom_domains
        .filter(d::platform_id.eq(scope.id()))
        .filter(visibility::via_dns_record(scope, d::dns_record_id))
        .filter(d::id.eq(id))
        .select(CustomDomainRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Locks the domains attached to a DNS record until the transaction ends.
pub(crate) async fn lock_by_record(
    mut c: &Conn,
    scope: &PlatformScope,
    record: DnsRecordId,
) -> Result<Vec<CustomDomainRow>> {
    Ok(d::custom_domains
        .filter(d::platform_id.eq(scope.id()))
        .filter(d::dns_record_id.eq(record))
        .select(CustomDomainRow::as_select())
        .order(d::id)
        .for_update()
        .load(&mut c)
        .await?)
}

/// Returns a page of a platform's domains, newest first.
pub(crate) async fn page(
    mut c: &Conn,
    scope: &PlatformScope,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<CustomDomainRow>> {
    let last = DomainId::parse(&after.id).unwrap_or(DomainId::MAX);
    let rows =
        database::newest!(d::custom_domains.select(CustomDomainRow::as_select()), d, after, last, limit);
    let rows = match visibility::subtree_roots(scope) {
        Some(roots) => {
            let row = |member: subtree::UuidMember| {
                d::custom_domains
                    .filter(d::id.eq(member))
                    .filter(d::platform_id.concat("").eq(scope.id()))
                    .select(CustomDomainRow::as_select())
            };
            subtree::page(roots, List::CustomDomains, after, limit, row).load(&mut c).await?
        }
        None => rows.filter(d::platform_id.eq(scope.id())).load(&mut c).await?,
    };
    // The envelope of this list has no total.
    Ok(Page::new(rows, limit, 0, &list(scope.id()), CustomDomainRow::cursor))
}

/// Returns the domains that wait for their verification, longest due first.
pub(crate) async fn pending(mut c: &Conn, _: &Scope) -> Result<Vec<PendingDomain>> {
    Ok(d::custom_domains
        .inner_join(p::platforms.on(p::id.eq(d::platform_id)))
        .filter(p::deleted_at.is_null())
        // A literal, to match the index condition: the planner cannot match it with a parameter.
        .filter(sql::<t::Bool>("custom_domains.status = 'pending'"))
        .select(PendingDomain::as_select())
        .order((d::due_at, d::id))
        .limit(PENDING_LIMIT)
        .load(&mut c)
        .await?)
}

/// A due domain. `platform_exists` is false if its platform is deleted.
#[derive(Debug, QueryableByName)]
pub(crate) struct Due {
    #[diesel(embed)]
    pub(crate) domain: CustomDomainRow,
    #[diesel(sql_type = t::Bool)]
    pub(crate) platform_exists: bool,
}

/// Claims domains that are due at `now`, longest due first, and makes each due again after `pause`. Skips locked rows.
pub(crate) async fn claim(
    mut c: &Conn,
    _: &Scope,
    limit: i64,
    now: DateTime<Utc>,
    pause: TimeDelta,
) -> Result<Vec<Due>> {
    Ok(sql_query(
        // An array instead of a join, because a join could read every domain.
        "UPDATE custom_domains SET due_at = $1 WHERE id = ANY (ARRAY(\
             SELECT id FROM custom_domains WHERE status = 'pending' AND due_at <= $2 \
             AND (lapses_at IS NULL OR lapses_at > $2) ORDER BY due_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)) \
         RETURNING *, (SELECT p.deleted_at IS NULL FROM platforms p WHERE p.id = custom_domains.platform_id) AS platform_exists",
    )
    .bind::<t::Timestamptz, _>(now + pause)
    .bind::<t::Timestamptz, _>(now)
    .bind::<t::BigInt, _>(limit)
    .load(&mut c)
    .await?)
}

/// Locks the other claims of a host name, on all platforms, until the transaction ends.
pub(crate) async fn lock_competing(
    mut c: &Conn,
    _: &Scope,
    of: &CustomDomainRow,
) -> Result<Vec<CustomDomainRow>> {
    Ok(d::custom_domains
        .filter(d::hostname.eq(&of.hostname))
        .filter(d::id.ne(of.id))
        .select(CustomDomainRow::as_select())
        .order(d::id)
        .for_update()
        .load(&mut c)
        .await?)
}

/// Locks pending domains whose claims lapse by `now`, until the transaction ends. Skips locked rows.
pub(crate) async fn lock_lapsed(
    mut c: &Conn,
    _: &Scope,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<CustomDomainRow>> {
    Ok(d::custom_domains
        // A literal, to match the index condition: the planner cannot match it with a parameter.
        .filter(sql::<t::Bool>("status = 'pending'"))
        .filter(d::lapses_at.le(now))
        .select(CustomDomainRow::as_select())
        .order((d::lapses_at, d::id))
        .limit(limit)
        .for_no_key_update()
        .skip_locked()
        .load(&mut c)
        .await?)
}

/// Marks claims that the transaction has locked as failed, for the same reason.
pub(crate) fn fail(
    ids: Vec<DomainId>,
    reason: String,
    now: DateTime<Utc>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let none = None::<DateTime<Utc>>;
    diesel::update(d::custom_domains.filter(d::id.eq_any(ids))).set((
        d::status.eq(DomainStatus::Failed),
        d::due_at.eq(none),
        d::lapses_at.eq(none),
        d::check_error.eq(Some(reason)),
        d::updated_at.eq(now),
    ))
}

/// Inserts a domain.
pub(crate) fn insert(row: CustomDomainRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(d::custom_domains).values(row)
}

/// Updates a domain that the transaction has locked.
pub(crate) fn update(row: CustomDomainRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(d::custom_domains.filter(d::id.eq(id))).set(row)
}

/// Deletes a domain that the transaction has locked.
pub(crate) fn delete(id: DomainId) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::delete(d::custom_domains.filter(d::id.eq(id)))
}

/// Deletes the domains of a DNS record, which the transaction has locked.
pub(crate) fn delete_by_record(
    platform: &PlatformId,
    record: DnsRecordId,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let of_record = d::custom_domains.filter(d::platform_id.eq(platform.clone()));
    diesel::delete(of_record.filter(d::dns_record_id.eq(record)))
}
