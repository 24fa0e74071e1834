//! Answers that repetitions of a request get.

use chrono::{DateTime, Duration, Utc};
use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::{Error, Kind, Result};
use identity::Idempotency;
use runtime::clock;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long an answer is kept.
const KEPT: Duration = Duration::hours(24);
/// Rows deleted at once by the sweep.
const SWEPT: i64 = 1000;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = sql_types::Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = sql_types::Jsonb)]
    answer: Value,
    #[diesel(sql_type = sql_types::Timestamptz)]
    created_at: DateTime<Utc>,
}

/// The answer that this key was given before, if it was.
///
/// # Errors
/// [`Kind::IdempotencyMismatch`] when the key was used for another request.
pub(super) async fn replay<T: DeserializeOwned>(
    mut connection: &AsyncPgConnection,
    caller: &str,
    asked: &Idempotency,
) -> Result<Option<T>> {
    let stored = sql_query(
        "SELECT fingerprint, answer, created_at FROM idempotency_keys WHERE caller = $1 AND key = $2",
    )
    .bind::<sql_types::Text, _>(caller)
    .bind::<sql_types::Text, _>(&asked.key)
    .get_result::<Stored>(&mut connection)
    .await
    .optional()?;
    let Some(stored) = stored else { return Ok(None) };
    if stored.created_at + KEPT < clock::now() {
        forget(connection, caller, asked).await?;
        return Err(Error::concurrent_write("the answer kept for the key was too old"));
    }
    if stored.fingerprint != asked.fingerprint {
        let message = "The Idempotency-Key was used before for another request";
        return Err(Error::new(Kind::IdempotencyMismatch, message));
    }
    serde_json::from_value(stored.answer).map(Some).map_err(Error::internal)
}

async fn forget(mut connection: &AsyncPgConnection, caller: &str, asked: &Idempotency) -> Result<()> {
    sql_query("DELETE FROM idempotency_keys WHERE caller = $1 AND key = $2 AND created_at < $3")
        .bind::<sql_types::Text, _>(caller)
        .bind::<sql_types::Text, _>(&asked.key)
        .bind::<sql_types::Timestamptz, _>(clock::now() - KEPT)
        .execute(&mut connection)
        .await?;
    Ok(())
}

/// Deletes some of what is too old; answers how many.
///
/// # Errors
/// Those of the database.
pub(crate) async fn sweep(connection: &mut AsyncPgConnection) -> Result<usize> {
    let deleted = sql_query(
        // By place: joined by key, all keys might be read.
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(\
             SELECT ctid FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2))",
    )
    .bind::<sql_types::Timestamptz, _>(clock::now() - KEPT)
    .bind::<sql_types::BigInt, _>(SWEPT)
    .execute(connection)
    .await?;
    Ok(deleted)
}
