//! Statements of the audit log. Each takes the connection, then the caller's scope.

use database::{Conn, audit_counter, counter_total, tables::audit_log, total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper, dsl::sql, helper_types::IntoBoxed,
    pg::Pg, sql_types::Integer,
};
use diesel_async::RunQueryDsl;
use domain::{AuditEntryId, Cursor, Limit, Page, Result, Total};
use identity::Scope;

use super::{
    filter::{Filter, ObjectFilter},
    model::AuditEntry,
};
use audit_log::dsl as a;

/// Returns a page of the matching entries, newest first, with their total.
pub(crate) async fn page(
    c: &Conn,
    scope: &Scope,
    filter: &Filter,
    limit: Limit,
    after: &Cursor,
) -> Result<Page<AuditEntry>> {
    let last = AuditEntryId::parse(&after.id).unwrap_or(AuditEntryId::MAX);
    let rows =
        database::newest!(matching(scope, filter).select(AuditEntry::as_select()), a, after, last, limit);
    let mut pipeline = c;
    let rows = async { Ok(rows.load(&mut pipeline).await?) };
    let (rows, total) = tokio::try_join!(rows, count(c, scope, filter))?;
    Ok(Page::new(rows, limit, total, &filter.list(), AuditEntry::cursor))
}

/// Returns the matching entries, without order and columns.
fn matching<'a>(scope: &'a Scope, filter: &'a Filter) -> IntoBoxed<'a, audit_log::table, Pg> {
    let mut rows = audit_log::table.into_boxed();
    // Always restricted to the caller's platforms, whatever the filter says.
    if let Some(granted) = scope.only_platforms() {
        rows = rows.filter(a::platform_id.eq_any(granted));
    }
    if let Some(platform) = &filter.platform {
        rows = rows.filter(a::platform_id.eq(platform));
    }
    if let Some(actor) = &filter.actor {
        rows = rows.filter(a::actor_id.eq(actor));
    }
    if let Some(action) = &filter.action {
        rows = rows.filter(a::action.eq(action));
    }
    rows = match &filter.object {
        Some(ObjectFilter::Type(name)) => rows.filter(a::entity_type.eq(name)),
        Some(ObjectFilter::Id(id)) => rows.filter(a::entity_id.eq(id)),
        None => rows,
    };
    if let Some(from) = filter.from {
        rows = rows.filter(a::created_at.ge(from));
    }
    if let Some(to) = filter.to {
        rows = rows.filter(a::created_at.lt(to));
    }
    rows
}

/// Counts the matching entries, from the counters where possible.
async fn count(c: &Conn, scope: &Scope, filter: &Filter) -> Result<Total> {
    if filter.is_unfiltered() {
        let key = audit_counter(filter.platform.as_ref());
        return counter_total(c, &key).await.map(Total::from);
    }
    total(c, || matching(scope, filter).select(sql::<Integer>("1"))).await
}
