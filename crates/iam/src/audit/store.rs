//! SQL statements of the audit log.

use database::{Conn, audit_counter, counter_total, tables::audit_log::dsl as a};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Limit, Page, Result};
use uuid::Uuid;

use super::model::AuditEntry;

/// Name of the list. A cursor of a different list is rejected.
pub(super) const LIST: &str = "audit";

/// A page of the entries, newest first, with their total.
pub(super) async fn page(c: &Conn, limit: Limit, after: &Cursor) -> Result<Page<AuditEntry>> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let rows = database::newest!(a::audit_log.select(AuditEntry::as_select()), a, after, last, limit);
    let mut pipeline = c;
    let rows = async { Ok(rows.load(&mut pipeline).await?) };
    let all = audit_counter(None);
    let (rows, total) = tokio::try_join!(rows, counter_total(c, &all))?;
    Ok(Page::new(rows, limit, total, LIST, AuditEntry::cursor))
}
