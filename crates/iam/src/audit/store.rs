//! The statements of the audit log.

use database::{Conn, audit_counter, counter_total, tables::audit_log::dsl as a};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, SelectableHelper};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Limit, Page, Result};
use uuid::Uuid;

use super::model::AuditEntry;

/// Names the list, so that the cursor of another is refused.
pub(super) const LIST: &str = "audit";

/// A page of the entries, newest first, and how many there are.
pub(super) async fn page(c: &Conn, limit: Limit, after: &Cursor) -> Result<Page<AuditEntry>> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let before = a::created_at.lt(after.at).or(a::created_at.eq(after.at).and(a::id.lt(last)));
    let rows = a::audit_log
        .filter(a::created_at.le(after.at))
        .filter(before)
        .order((a::created_at.desc(), a::id.desc()))
        .limit(limit.rows())
        .select(AuditEntry::as_select());
    let mut pipeline = c;
    let rows = async { Ok(rows.load(&mut pipeline).await?) };
    let all = audit_counter(None);
    let (rows, total) = tokio::try_join!(rows, counter_total(c, &all))?;
    Ok(Page::new(rows, limit, total, LIST, AuditEntry::place))
}
