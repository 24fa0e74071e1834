//! Stored answers for repeated requests.

use chrono::{DateTime, Duration, Utc};
use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::{Error, Kind, Result};
use identity::Idempotency;
use runtime::clock;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Lifetime of a stored answer.
const RETENTION: Duration = Duration::hours(24);
/// Maximum number of rows that one sweep deletes.
const SWEEP_LIMIT: i64 = 1000;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = sql_types::Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = sql_types::Jsonb)]
    answer: Value,
    #[diesel(sql_type = sql_types::Timestamptz)]
    created_at: DateTime<Utc>,
}

/// Returns the answer stored under the request's key, if any.
///
/// # Errors
/// [`Kind::IdempotencyMismatch`] if the key was used for a different request.
pub(super) async fn replay<T: DeserializeOwned>(
    mut connection: &AsyncPgConnection,
    caller: &str,
    request: &Idempotency,
) -> Result<Option<T>> {
    let stored = sql_query(
        "SELECT fingerprint, answer, created_at FROM idempotency_keys WHERE caller = $1 AND key = $2",
    )
    .bind::<sql_types::Text, _>(caller)
    .bind::<sql_types::Text, _>(&request.key)
    .get_result::<Stored>(&mut connection)
    .await
    .optional()?;
    let Some(stored) = stored else { return Ok(None) };
    if stored.created_at + RETENTION < clock::now() {
        delete_expired(connection, caller, request).await?;
        return Err(Error::concurrent_write("the stored answer for the key has expired"));
    }
    if stored.fingerprint != request.fingerprint {
        let message = "The Idempotency-Key was already used for a different request. Send a new key.";
        return Err(Error::new(Kind::IdempotencyMismatch, message));
    }
    serde_json::from_value(stored.answer).map(Some).map_err(Error::internal)
}

async fn delete_expired(
    mut connection: &AsyncPgConnection,
    caller: &str,
    request: &Idempotency,
) -> Result<()> {
    sql_query("DELETE FROM idempotency_keys WHERE caller = $1 AND key = $2 AND created_at < $3")
        .bind::<sql_types::Text, _>(caller)
        .bind::<sql_types::Text, _>(&request.key)
        .bind::<sql_types::Timestamptz, _>(clock::now() - RETENTION)
        .execute(&mut connection)
        .await?;
    Ok(())
}

/// Deletes a batch of expired keys and returns their number.
///
/// # Errors
/// Database errors.
pub(crate) async fn sweep(connection: &mut AsyncPgConnection) -> Result<usize> {
    let deleted = sql_query(
        // Addressed by ctid: a join on the key could read every key.
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(\
             SELECT ctid FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2))",
    )
    .bind::<sql_types::Timestamptz, _>(clock::now() - RETENTION)
    .bind::<sql_types::BigInt, _>(SWEEP_LIMIT)
    .execute(connection)
    .await?;
    Ok(deleted)
}
