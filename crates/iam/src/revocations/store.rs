//! SQL statements of revocations.

use database::Conn;
use diesel::{ExpressionMethods, OptionalExtension, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::Result;
use uuid::Uuid;

use super::{Revocation, Revoked};
use crate::schema::revocations::dsl as r;

/// Maximum number of rows that one sweep deletes.
const SWEEP_LIMIT: i64 = 1000;

/// Row of a revocation. Numbers are assigned before transactions commit, so a lower number can appear later. Once a row
/// is settled, all lower numbers have appeared.
#[derive(Debug, QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = t::BigInt)]
    pub(super) number: i64,
    #[diesel(sql_type = t::Nullable<t::Uuid>)]
    key_id: Option<Uuid>,
    #[diesel(sql_type = t::Nullable<t::Text>)]
    subject: Option<String>,
    #[diesel(sql_type = t::Bool)]
    pub(super) settled: bool,
}

impl Row {
    pub(super) fn into_revocation(self) -> Option<Revocation> {
        let target = self.key_id.map(Revoked::Key).or(self.subject.map(Revoked::Subject))?;
        Some(Revocation { number: self.number, target })
    }
}

/// Records a revocation in the transaction of the change.
pub(crate) async fn record(mut c: &Conn, target: Revoked) -> Result<Revocation> {
    let (key, subject) = match &target {
        Revoked::Key(id) => (Some(*id), None),
        Revoked::Subject(subject) => (None, Some(subject)),
    };
    let number = diesel::insert_into(r::revocations)
        .values((r::key_id.eq(key), r::subject.eq(subject)))
        .returning(r::number)
        .get_result(&mut c)
        .await?;
    Ok(Revocation { number, target })
}

/// The revocations with numbers above `after`.
pub(super) async fn newer(mut c: &Conn, after: i64) -> Result<Vec<Row>> {
    // No transaction that revokes lasts a minute, because the timeouts of its few statements are seconds.
    let sql = "SELECT number, key_id, subject, at < clock_timestamp() - interval '1 minute' AS settled \
               FROM revocations WHERE number > $1 ORDER BY number";
    Ok(sql_query(sql).bind::<t::BigInt, _>(after).load(&mut c).await?)
}

/// The highest settled number; 0 if there is none.
pub(super) async fn settled(mut c: &Conn) -> Result<i64> {
    #[derive(QueryableByName)]
    struct Highest {
        #[diesel(sql_type = t::BigInt)]
        number: i64,
    }
    let sql = "SELECT number FROM revocations WHERE at < clock_timestamp() - interval '1 minute' \
               ORDER BY number DESC LIMIT 1";
    let found: Option<Highest> = sql_query(sql).get_result(&mut c).await.optional()?;
    Ok(found.map_or(0, |highest| highest.number))
}

/// Deletes a batch of the revocations that every process has published, and returns their number.
pub(super) async fn sweep(c: &mut Conn) -> Result<usize> {
    let sql = "DELETE FROM revocations WHERE number = ANY (ARRAY(SELECT number FROM revocations ORDER BY number LIMIT $1)) \
               AND at < clock_timestamp() - interval '1 hour'";
    Ok(sql_query(sql).bind::<t::BigInt, _>(SWEEP_LIMIT).execute(c).await?)
}
