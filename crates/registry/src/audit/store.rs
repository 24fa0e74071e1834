//! The statements of the audit log. Each takes the caller's scope first.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, QueryDsl, QueryResult, SelectableHelper,
    dsl::sql,
    helper_types::IntoBoxed,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Integer, Json},
};
use diesel_async::RunQueryDsl;
use domain::{Cursor, Limit, Page, Result};
use kit::{
    Scope,
    db::{Conn, audit_counter, counter_total, tables::audit_log},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    filter::{Filter, Thing},
    model::{AuditEntry, Total},
};
use audit_log::dsl as a;

/// Up to here matches are counted, through an index; beyond, the planner's estimate is told.
const COUNTED: i64 = 10_000;

/// A page of the entries that match, newest first, and how many match.
pub(crate) async fn page(
    c: &mut Conn,
    scope: &Scope,
    filter: &Filter,
    limit: Limit,
    after: &Cursor,
) -> Result<(Page<AuditEntry>, Total)> {
    let last = Uuid::parse_str(&after.id).unwrap_or(Uuid::max());
    let before = a::created_at.lt(after.at).or(a::created_at.eq(after.at).and(a::id.lt(last)));
    let rows = matching(scope, filter)
        .filter(a::created_at.le(after.at))
        .filter(before)
        .order((a::created_at.desc(), a::id.desc()))
        .limit(limit.rows())
        .select(AuditEntry::as_select());
    let pipelined = &*c;
    let mut pipeline = pipelined;
    let rows = async { Ok(rows.load(&mut pipeline).await?) };
    let (rows, counted) = tokio::try_join!(rows, count(pipelined, scope, filter))?;
    let total = if counted > COUNTED && !filter.is_plain() {
        Total::Estimate(estimate(c, scope, filter).await?.max(counted))
    } else {
        Total::Exact(counted)
    };
    Ok((Page::new(rows, limit, counted, &filter.list(), AuditEntry::place), total))
}

/// The entries that match, yet to be ordered and selected.
fn matching<'a>(scope: &'a Scope, filter: &'a Filter) -> IntoBoxed<'a, audit_log::table, Pg> {
    let mut rows = audit_log::table.into_boxed();
    // The caller's own platform in any case, whatever the filter says.
    for platform in scope.only_platform().into_iter().chain(&filter.platform) {
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

/// How many entries match: from the counters where they know, else counted up to one above [`COUNTED`].
async fn count(mut c: &Conn, scope: &Scope, filter: &Filter) -> Result<i64> {
    if filter.is_plain() {
        return counter_total(c, &audit_counter(filter.platform.as_ref().or(scope.only_platform()))).await;
    }
    let some = matching(scope, filter).select(sql::<Integer>("1")).limit(COUNTED + 1);
    Ok(Count(some).get_result(&mut c).await?)
}

/// How many entries the planner believes to match.
async fn estimate(c: &mut Conn, scope: &Scope, filter: &Filter) -> Result<i64> {
    let plan: Value = Explain(matching(scope, filter).select(sql::<Integer>("1"))).get_result(c).await?;
    Ok(plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_i64).unwrap_or_default())
}

/// `SELECT count(*)` of a whole statement, its LIMIT included.
#[derive(Debug, Clone, Copy, QueryId)]
struct Count<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Count<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS matching");
        Ok(())
    }
}

impl<Q> Query for Count<Q> {
    type SqlType = BigInt;
}

/// The plan of a statement, which is not run.
#[derive(Debug, Clone, Copy, QueryId)]
struct Explain<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Explain<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("EXPLAIN (FORMAT JSON) ");
        self.0.walk_ast(out)
    }
}

impl<Q> Query for Explain<Q> {
    type SqlType = Json;
}
