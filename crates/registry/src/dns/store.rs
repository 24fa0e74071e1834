//! Statements of DNS records. Each takes the connection, then the caller's scope.

use database::Conn;
use diesel::{
    BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, SelectableHelper,
    TextExpressionMethods,
    query_builder::{QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, DnsRecordId, Error, HostName, Limit, Page, PlatformId, Result, StackId};
use identity::{PlatformScope, Scope};

use super::model::DnsRecord;
use crate::{
    schema::dns_records::dsl as d,
    subtree::{self, List},
    visibility,
};

/// Name of the list of a stack's records.
pub(crate) fn list(platform: &PlatformId, stack: &StackId) -> String {
    format!("dns_records:{platform}:{stack}")
}

fn not_found(id: DnsRecordId) -> Error {
    Error::not_found("DNS record", id)
}

/// Returns a record.
pub(crate) async fn get(mut c: &Conn, scope: &PlatformScope, id: DnsRecordId) -> Result<DnsRecord> {
    d::dns_records
        .filter(d::platform_id.eq(scope.id()))
        .filter(visibility::via_resource(scope, d::resource_id))
        .filter(d::id.eq(id))
        .select(DnsRecord::as_select())
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Locks a record until the transaction ends.
pub(crate) async fn lock_for_update(
    mut c: &Conn,
    scope: &PlatformScope,
    id: DnsRecordId,
) -> Result<DnsRecord> {
    d::dns_records
        .filter(d::platform_id.eq(scope.id()))
        .filter(visibility::via_resource(scope, d::resource_id))
        .filter(d::id.eq(id))
        .select(DnsRecord::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?
        .ok_or_else(|| not_found(id))
}

/// Locks the record of a host name, on any platform, until the transaction ends.
pub(crate) async fn lock_by_hostname(
    mut c: &Conn,
    _: &Scope,
    hostname: &HostName,
) -> Result<Option<DnsRecord>> {
    Ok(d::dns_records
        .filter(d::hostname.eq(hostname))
        .select(DnsRecord::as_select())
        .for_update()
        .first(&mut c)
        .await
        .optional()?)
}

/// Returns every record of a platform, oldest first.
pub(crate) async fn all(mut c: &Conn, scope: &PlatformScope) -> Result<Vec<DnsRecord>> {
    Ok(d::dns_records
        .filter(d::platform_id.eq(scope.id()))
        .select(DnsRecord::as_select())
        .order((d::created_at, d::id))
        .load(&mut c)
        .await?)
}

/// Returns a page of a stack's records, newest first.
pub(crate) async fn page(
    mut c: &Conn,
    scope: &PlatformScope,
    stack: &StackId,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<DnsRecord>> {
    let last = DnsRecordId::parse(&after.id).unwrap_or(DnsRecordId::MAX);
    let rows = database::newest!(
        d::dns_records.filter(d::stack_id.eq(stack)).select(DnsRecord::as_select()),
        d,
        after,
        last,
        limit
    );
    let rows = match visibility::subtree_roots(scope) {
        Some(roots) => {
            let row = |member: subtree::UuidMember| {
                d::dns_records
                    .filter(d::id.eq(member))
                    .filter(d::platform_id.concat("").eq(scope.id()))
                    .select(DnsRecord::as_select())
            };
            subtree::page(roots, List::DnsRecords(stack), after, limit, row).load(&mut c).await?
        }
        None => rows.filter(d::platform_id.eq(scope.id())).load(&mut c).await?,
    };
    // The envelope of this list has no total.
    Ok(Page::new(rows, limit, 0, &list(scope.id(), stack), DnsRecord::cursor))
}

/// Inserts a record.
pub(crate) fn insert(row: DnsRecord) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::insert_into(d::dns_records).values(row)
}

/// Updates a record that the transaction has locked.
pub(crate) fn update(row: DnsRecord) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    let id = row.id;
    diesel::update(d::dns_records.filter(d::id.eq(id))).set(row)
}

/// Deletes a record that the transaction has locked.
pub(crate) fn delete(id: DnsRecordId) -> impl QueryFragment<diesel::pg::Pg> + QueryId + Send + 'static {
    diesel::delete(d::dns_records.filter(d::id.eq(id)))
}
