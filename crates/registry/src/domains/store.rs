//! The statements of custom domains. Each takes the caller's scope first.

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
    reach,
    schema::{custom_domains::dsl as d, platforms::dsl as p},
    subtree::{self, List},
};

/// Domains in the list of pending ones; the contract's list has no pages.
pub(crate) const LISTED: i64 = 1000;

/// Names the list of a platform's domains.
pub(crate) fn list(platform: &PlatformId) -> String {
    format!("custom_domains:{platform}")
}

fn not_found(id: DomainId) -> Error {
    Error::not_found("custom domain", id)
}

/// A domain.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: DomainId) -> Result<CustomDomainRow> {
    d::custom_domains
        .filter(d::platform_id.eq(scope.id()))
        .filter(reach::by_dns_record(scope, d::dns_record_id))
        .filter(d::id.eq(id))
        .select(CustomDomainRow::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// A domain, held until the transaction ends.
pub(crate) async fn lock(mut c: &Conn, scope: &PlatformScope, id: DomainId) -> Result<CustomDomainRow> {
    d::custom_domains
        .filter(d::platform_id.eq(scope.id()))
        .filter(reach::by_dns_record(scope, d::dns_record_id))
        .filter(d::id.eq(id))
        .select(CustomDomainRow::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// The domains that hang on a DNS record, held until the transaction ends.
pub(crate) async fn lock_of(
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

/// A page of a platform's domains, newest first.
pub(crate) async fn page(
    mut c: &Conn,
    scope: &PlatformScope,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<CustomDomainRow>> {
    let last = DomainId::parse(&after.id).unwrap_or(DomainId::MAX);
    let rows =
        database::newest!(d::custom_domains.select(CustomDomainRow::as_select()), d, after, last, limit);
    let rows = match reach::roots(scope) {
        Some(roots) => {
            let row = |member: subtree::UuidMember| {
                d::custom_domains
                    .filter(d::id.eq(member))
                    .filter(d::platform_id.concat("").eq(scope.id()))
                    .select(CustomDomainRow::as_select())
            };
            subtree::newest(roots, List::CustomDomains, after, limit, row).load(&mut c).await?
        }
        None => rows.filter(d::platform_id.eq(scope.id())).load(&mut c).await?,
    };
    // The envelope of this list has no total.
    Ok(Page::new(rows, limit, 0, &list(scope.id()), CustomDomainRow::place))
}

/// The domains that wait to be seen leading to their target, longest due first.
pub(crate) async fn pending(mut c: &Conn, _: &Scope) -> Result<Vec<PendingDomain>> {
    Ok(d::custom_domains
        .inner_join(p::platforms.on(p::id.eq(d::platform_id)))
        .filter(p::deleted_at.is_null())
        // Literally, as the index has it: of a value that is yet to come the planner cannot know it.
        .filter(sql::<t::Bool>("custom_domains.status = 'pending'"))
        .select(PendingDomain::as_select())
        .order((d::due_at, d::id))
        .limit(LISTED)
        .load(&mut c)
        .await?)
}

/// A domain that was due, and whether its platform is not deleted.
#[derive(Debug, QueryableByName)]
pub(crate) struct Due {
    #[diesel(embed)]
    pub(crate) domain: CustomDomainRow,
    #[diesel(sql_type = t::Bool)]
    pub(crate) live: bool,
}

/// Domains that are due at `now`, longest due first; each is due again after `pause`. One that another claims at the
/// same time is passed.
pub(crate) async fn claim(
    mut c: &Conn,
    _: &Scope,
    limit: i64,
    now: DateTime<Utc>,
    pause: TimeDelta,
) -> Result<Vec<Due>> {
    Ok(sql_query(
        // An array rather than a join, for which all domains might be read.
        "UPDATE custom_domains SET due_at = $1 WHERE id = ANY (ARRAY(\
             SELECT id FROM custom_domains WHERE status = 'pending' AND due_at <= $2 \
             AND (lapses_at IS NULL OR lapses_at > $2) ORDER BY due_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)) \
         RETURNING *, (SELECT p.deleted_at IS NULL FROM platforms p WHERE p.id = custom_domains.platform_id) AS live",
    )
    .bind::<t::Timestamptz, _>(now + pause)
    .bind::<t::Timestamptz, _>(now)
    .bind::<t::BigInt, _>(limit)
    .load(&mut c)
    .await?)
}

/// The other claims of a host name, of all platforms, held until the transaction ends.
pub(crate) async fn lock_rivals(
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

/// Pending domains whose claims lapse by `now`, held until the transaction ends; one that another holds is passed.
pub(crate) async fn lock_lapsed(
    mut c: &Conn,
    _: &Scope,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<CustomDomainRow>> {
    Ok(d::custom_domains
        // Literally, as the index has it: of a value that is yet to come the planner cannot know it.
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

/// The end of claims that the transaction holds, all for the same reason.
pub(crate) fn fail(
    ids: Vec<DomainId>,
    why: String,
    now: DateTime<Utc>,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let none = None::<DateTime<Utc>>;
    diesel::update(d::custom_domains.filter(d::id.eq_any(ids))).set((
        d::status.eq(DomainStatus::Failed),
        d::due_at.eq(none),
        d::lapses_at.eq(none),
        d::check_error.eq(Some(why)),
        d::updated_at.eq(now),
    ))
}

/// The insert of a new domain.
pub(crate) fn insert(row: CustomDomainRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(d::custom_domains).values(row)
}

/// The update of a domain that the transaction holds.
pub(crate) fn update(row: CustomDomainRow) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(d::custom_domains.filter(d::id.eq(id))).set(row)
}

/// The deletion of a domain that the transaction holds.
pub(crate) fn delete(id: DomainId) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::delete(d::custom_domains.filter(d::id.eq(id)))
}

/// The deletion of the domains of a DNS record, which the transaction holds.
pub(crate) fn delete_of(
    platform: &PlatformId,
    record: DnsRecordId,
) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let of_record = d::custom_domains.filter(d::platform_id.eq(platform.clone()));
    diesel::delete(of_record.filter(d::dns_record_id.eq(record)))
}
