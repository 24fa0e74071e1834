//! The statements of revocations.

use database::Conn;
use diesel::{ExpressionMethods, OptionalExtension, QueryableByName, sql_query, sql_types as t};
use diesel_async::RunQueryDsl;
use domain::Result;
use uuid::Uuid;

use super::{Revocation, What};
use crate::schema::revocations::dsl as r;

/// Rows that one sweep looks at.
const SWEPT: i64 = 1000;

/// A row, and whether all that were numbered before it are there: numbers are given before transactions end, so that a
/// lower one may come later, but not so much later.
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
    pub(super) fn read(self) -> Option<Revocation> {
        let what = self.key_id.map(What::Key).or(self.subject.map(What::Subject))?;
        Some(Revocation { number: self.number, what })
    }
}

/// Notes a revocation in the transaction that revokes.
pub(crate) async fn note(mut c: &Conn, what: What) -> Result<Revocation> {
    let (key, subject) = match &what {
        What::Key(id) => (Some(*id), None),
        What::Subject(subject) => (None, Some(subject)),
    };
    let number = diesel::insert_into(r::revocations)
        .values((r::key_id.eq(key), r::subject.eq(subject)))
        .returning(r::number)
        .get_result(&mut c)
        .await?;
    Ok(Revocation { number, what })
}

/// The revocations that are numbered above `after`.
pub(super) async fn newer(mut c: &Conn, after: i64) -> Result<Vec<Row>> {
    // No transaction that revokes lasts a minute: the timeouts of its few statements are seconds.
    let sql = "SELECT number, key_id, subject, at < clock_timestamp() - interval '1 minute' AS settled \
               FROM revocations WHERE number > $1 ORDER BY number";
    Ok(sql_query(sql).bind::<t::BigInt, _>(after).load(&mut c).await?)
}

/// The highest number that all below are there of; 0 if there is none.
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

/// Deletes some of those that every process has told; answers how many.
pub(super) async fn sweep(c: &mut Conn) -> Result<usize> {
    let sql = "DELETE FROM revocations WHERE number = ANY (ARRAY(SELECT number FROM revocations ORDER BY number LIMIT $1)) \
               AND at < clock_timestamp() - interval '1 hour'";
    Ok(sql_query(sql).bind::<t::BigInt, _>(SWEPT).execute(c).await?)
}
