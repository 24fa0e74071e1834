//! Totals of lists without a counter: counted up to a limit, estimated beyond it.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Json},
};
use diesel_async::RunQueryDsl;
use domain::{Result, Total};
use serde_json::Value;

use super::Conn;

/// Maximum number of rows to count through an index. Beyond it, the total is the planner's estimate.
const COUNT_LIMIT: i64 = 10_000;

/// Returns the number of rows that an unlimited select finds. Calls `matching` twice if there are too many rows to
/// count.
///
/// # Errors
/// Database errors.
pub async fn total<Q>(mut c: &Conn, matching: impl Fn() -> Q + Send) -> Result<Total>
where
    Q: QueryFragment<Pg> + QueryId + Send,
{
    let counted: i64 = Count(matching()).get_result(&mut c).await?;
    if counted <= COUNT_LIMIT {
        return Ok(Total::Exact(counted));
    }
    let plan: Value = Explain(matching()).get_result(&mut c).await?;
    let estimated = plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_i64).unwrap_or_default();
    Ok(Total::Estimate(estimated.max(counted)))
}

/// `SELECT count(*)` of a statement, stopping one row above [`COUNT_LIMIT`].
#[derive(Debug, Clone, Copy, QueryId)]
struct Count<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Count<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT 10001) AS matching");
        Ok(())
    }
}

impl<Q> Query for Count<Q> {
    type SqlType = BigInt;
}

/// `EXPLAIN` of a statement, without running it.
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
