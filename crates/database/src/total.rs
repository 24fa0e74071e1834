//! How many rows match what no counter keeps: counted as far as that is cheap, estimated beyond.

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

/// Up to here rows are counted, through an index; beyond, the planner's estimate is told.
const COUNTED: i64 = 10_000;

/// How many rows a select without limit finds. It is made twice where there are too many to be counted.
///
/// # Errors
/// Those of the database.
pub async fn total<Q>(mut c: &Conn, matching: impl Fn() -> Q + Send) -> Result<Total>
where
    Q: QueryFragment<Pg> + QueryId + Send,
{
    let counted: i64 = Count(matching()).get_result(&mut c).await?;
    if counted <= COUNTED {
        return Ok(Total::Exact(counted));
    }
    let plan: Value = Explain(matching()).get_result(&mut c).await?;
    let believed = plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_i64).unwrap_or_default();
    Ok(Total::Estimate(believed.max(counted)))
}

/// `SELECT count(*)` of a statement, up to one above [`COUNTED`].
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
