//! The statements of the audit log. Each takes the caller's scope first.

use database::{Conn, audit_counter, counter_total, tables::audit_log, total};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper, dsl::sql, helper_types::IntoBoxed,
    pg::Pg, sql_types::Integer,
};
use diesel_async::RunQueryDsl;
use domain::{AuditEntryId, Cursor, Limit, Page, Result, Total};
use identity::Scope;

use super::{
    filter::{Filter, Thing},
    model::AuditEntry,
};
use audit_log::dsl as a;

/// A page of the entries that match, newest first, and how many match.
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
    Ok(Page::new(rows, limit, total, &filter.list(), AuditEntry::place))
}

/// The entries that match, yet to be ordered and selected.
fn matching<'a>(scope: &'a Scope, filter: &'a Filter) -> IntoBoxed<'a, audit_log::table, Pg> {
    let mut rows = audit_log::table.into_boxed();
    // The caller's own platforms in any case, whatever the filter says.
    if let Some(own) = scope.only_platforms() {
        rows = rows.filter(a::platform_id.eq_any(own));
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
    rows = match &filter.thing {
        Some(Thing::Type(name)) => rows.filter(a::entity_type.eq(name)),
        Some(Thing::Id(id)) => rows.filter(a::entity_id.eq(id)),
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

/// How many entries match: from the counters where they know.
async fn count(c: &Conn, scope: &Scope, filter: &Filter) -> Result<Total> {
    if filter.is_plain() {
        let key = audit_counter(filter.platform.as_ref());
        return counter_total(c, &key).await.map(Total::from);
    }
    total(c, || matching(scope, filter).select(sql::<Integer>("1"))).await
}
