//! Delivers events and commands to other services: at least once, in order per subject.
//!
//! The statement that makes a change also writes its events (see [`crate::Record`]). The relay claims the oldest
//! undelivered event of each subject, hides it by moving its next attempt, delivers it without holding a connection,
//! and marks it as delivered. If a relay dies, another one takes over its events when the visibility timeout ends;
//! receivers detect repeated events by id. An event that cannot be delivered blocks only its own subject.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{OptionalExtension, QueryableByName, sql_query, sql_types as t};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::{Error, Result};
use identity::Ctx;
use opentelemetry::KeyValue;
use runtime::{Probe, backoff::Backoff, clock, shutdown::Shutdown, telemetry, worker};
use serde_json::Value;
use tracing::Instrument;
use uuid::Uuid;

use crate::Db;

const BATCH: i64 = 32;
const VISIBILITY_TIMEOUT: TimeDelta = TimeDelta::seconds(15);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
/// Age at which an undelivered event is reported as late.
const LATE_AFTER: TimeDelta = TimeDelta::seconds(30);
const MAX_COUNTED: i64 = 1000;
const POLL: Duration = Duration::from_millis(500);
const RETENTION: TimeDelta = TimeDelta::days(7);
const SWEEP_LIMIT: i64 = 1000;

/// An event to deliver to another service, as a CloudEvent.
#[derive(Debug, Clone, QueryableByName)]
pub struct Event {
    #[diesel(sql_type = t::BigInt)]
    seq: i64,
    /// Id by which the receiver detects repetitions.
    #[diesel(sql_type = t::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = t::Text)]
    destination: String,
    /// Type of the event or command, such as `provisioning.job`.
    #[diesel(sql_type = t::Text)]
    #[diesel(column_name = "type")]
    pub kind: String,
    /// Object of the event. Events of one subject keep their order.
    #[diesel(sql_type = t::Text)]
    pub subject: String,
    /// Creation time.
    #[diesel(sql_type = t::Timestamptz)]
    pub time: DateTime<Utc>,
    /// Payload.
    #[diesel(sql_type = t::Jsonb)]
    pub data: Value,
    #[diesel(sql_type = t::Text)]
    request_id: String,
    #[diesel(sql_type = t::Nullable<t::Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = t::Integer)]
    attempts: i32,
}

/// Delivers events to one destination.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Returns once the receiver has stored the event durably.
    async fn deliver(&self, ctx: &Ctx, event: &Event) -> Result<()>;
}

/// Relay of the events of one database.
#[derive(Clone)]
pub struct Relay {
    db: Db,
    destinations: Arc<HashMap<&'static str, Arc<dyn Deliver>>>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({:?})", self.db)
    }
}

impl Relay {
    /// Creates a relay to `destinations`.
    pub fn new(db: Db, destinations: impl IntoIterator<Item = (&'static str, Arc<dyn Deliver>)>) -> Self {
        Self { db, destinations: Arc::new(destinations.into_iter().collect()) }
    }

    /// Runs the relay until the process stops.
    pub fn start(self, shutdown: &Shutdown) {
        let wake = self.db.relay_wake();
        worker::run(shutdown, "outbox", POLL, wake, move || {
            let relay = self.clone();
            async move { Ok(relay.run_once().await? > 0) }
        });
    }

    /// Probe that reports late events. The service keeps working without them for a while.
    pub fn probe(&self) -> Probe {
        let relay = self.clone();
        Probe::optional("outbox", move || {
            let relay = relay.clone();
            Box::pin(async move {
                match relay.db.service_read(async |c| late(c).await).await {
                    Ok(None) => Ok(()),
                    Ok(Some(late)) => Err(late.to_string()),
                    Err(error) => Err(error.message().to_owned()),
                }
            })
        })
    }

    /// Delivers the events that are due now and returns the number of attempts.
    ///
    /// # Errors
    /// Database errors. A failed delivery is not an error.
    pub async fn run_once(&self) -> Result<usize> {
        let due = claim_due(&mut **self.db.service_conn().await?).await?;
        let tried = due.len();
        // Subjects do not wait for each other.
        futures_util::future::try_join_all(due.into_iter().map(|event| self.deliver_event(event))).await?;
        Ok(tried)
    }

    async fn deliver_event(&self, event: Event) -> Result<()> {
        let span = tracing::info_span!(
            "deliver",
            request_id = event.request_id,
            trace_id = tracing::field::Empty,
            kind = event.kind
        );
        telemetry::continue_trace(&span, event.traceparent.as_deref());
        async {
            let ctx = Ctx::for_service(self.db.service(), event.request_id.as_str());
            let result = match self.destinations.get(event.destination.as_str()) {
                Some(destination) => destination.deliver(&ctx, &event).await,
                None => Err(Error::internal(format!("no destination '{}'", event.destination))),
            };
            let outcome = if result.is_ok() { "delivered" } else { "failed" };
            let lag = (clock::now() - event.time).to_std().unwrap_or_default();
            telemetry::measure("nno.outbox.lag", &[KeyValue::new("outcome", outcome)], lag);
            let mut connection = self.db.service_conn().await?;
            match result {
                Ok(()) => mark_delivered(&mut connection, event.seq).await,
                Err(error) => {
                    let (message, context) = (error.message(), error.log_context());
                    tracing::warn!(attempts = event.attempts, error = message, context, "delivery failed");
                    schedule_retry(&mut connection, &event, &error).await
                }
            }
        }
        .instrument(span)
        .await
    }
}

async fn claim_due(connection: &mut AsyncPgConnection) -> Result<Vec<Event>> {
    // Uses only the database's clock: relays on several machines share the work, and their clocks differ.
    let claimed = sql_query(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = now() + $1 * interval '1 millisecond' \
         WHERE seq IN (\
             SELECT seq FROM outbox head \
             WHERE destination IS NOT NULL AND delivered_at IS NULL AND next_attempt_at <= now() AND NOT EXISTS (\
                 SELECT 1 FROM outbox earlier WHERE earlier.subject = head.subject AND earlier.seq < head.seq \
                 AND earlier.destination IS NOT NULL AND earlier.delivered_at IS NULL) \
             ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING seq, id, destination, type, subject, time, data, request_id, traceparent, attempts",
    )
    .bind::<t::BigInt, _>(VISIBILITY_TIMEOUT.num_milliseconds())
    .bind::<t::BigInt, _>(BATCH)
    .load(connection)
    .await?;
    Ok(claimed)
}

/// Summary of events that are overdue.
#[derive(Debug, QueryableByName)]
struct Late {
    #[diesel(sql_type = t::BigInt)]
    count: i64,
    #[diesel(sql_type = t::Nullable<t::Timestamptz>)]
    oldest: Option<DateTime<Utc>>,
    #[diesel(sql_type = t::Nullable<t::Text>)]
    error: Option<String>,
}

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let age = self.oldest.map_or(0, |oldest| (clock::now() - oldest).num_seconds());
        let at_least = if self.count == MAX_COUNTED { "at least " } else { "" };
        write!(f, "{at_least}{} waiting to be delivered, the oldest for {age} s", self.count)?;
        self.error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

async fn late(mut connection: &AsyncPgConnection) -> Result<Option<Late>> {
    let late: Late = sql_query(
        "SELECT count(*) AS count, min(time) AS oldest, (array_agg(last_error ORDER BY time))[1] AS error \
         FROM (SELECT time, last_error FROM outbox WHERE destination IS NOT NULL AND delivered_at IS NULL \
             ORDER BY next_attempt_at LIMIT $2) AS waiting WHERE time < $1",
    )
    .bind::<t::Timestamptz, _>(clock::now() - LATE_AFTER)
    .bind::<t::BigInt, _>(MAX_COUNTED)
    .get_result(&mut connection)
    .await?;
    Ok(Some(late).filter(|late| late.count > 0))
}

async fn mark_delivered(connection: &mut AsyncPgConnection, seq: i64) -> Result<()> {
    sql_query("UPDATE outbox SET delivered_at = $1, last_error = NULL WHERE seq = $2")
        .bind::<t::Timestamptz, _>(clock::now())
        .bind::<t::BigInt, _>(seq)
        .execute(connection)
        .await?;
    Ok(())
}

async fn schedule_retry(connection: &mut AsyncPgConnection, event: &Event, error: &Error) -> Result<()> {
    // The claim already counted this attempt.
    let pause = BACKOFF.pause(event.attempts.unsigned_abs());
    sql_query(
        "UPDATE outbox SET next_attempt_at = now() + $1 * interval '1 millisecond', last_error = $2 WHERE seq = $3",
    )
    .bind::<t::BigInt, _>(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
    .bind::<t::Text, _>(format!("{}: {}", error.kind(), error.message()))
    .bind::<t::BigInt, _>(event.seq)
    .execute(connection)
    .await?;
    Ok(())
}

/// Reason why an event is not delivered yet.
#[derive(Debug, Clone, QueryableByName)]
pub struct Undelivered {
    /// The first undelivered event of the subject: the event itself, or an earlier one.
    #[diesel(sql_type = t::Uuid)]
    pub first: Uuid,
    /// Number of delivery attempts for that event, including the current one.
    #[diesel(sql_type = t::Integer)]
    pub attempts: i32,
    /// Time of the next attempt.
    #[diesel(sql_type = t::Timestamptz)]
    pub next_attempt_at: DateTime<Utc>,
    /// Kind and message of the last error.
    #[diesel(sql_type = t::Nullable<t::Text>)]
    pub last_error: Option<String>,
}

/// Returns the first undelivered event of a subject up to the event `id`, or `None` once that event is delivered.
///
/// # Errors
/// Database errors.
pub async fn undelivered(
    mut connection: &AsyncPgConnection,
    subject: &str,
    id: Uuid,
) -> Result<Option<Undelivered>> {
    let found = sql_query(
        "SELECT head.id AS first, head.attempts, head.next_attempt_at, head.last_error FROM outbox head \
         WHERE head.subject = $1 AND head.destination IS NOT NULL AND head.delivered_at IS NULL \
             AND head.seq <= (SELECT own.seq FROM outbox own WHERE own.subject = $1 AND own.id = $2 \
                 AND own.destination IS NOT NULL AND own.delivered_at IS NULL) \
         ORDER BY head.seq LIMIT 1",
    )
    .bind::<t::Text, _>(subject)
    .bind::<t::Uuid, _>(id)
    .get_result(&mut connection)
    .await;
    Ok(found.optional()?)
}

/// Deletes a batch of old events, either delivered or without a destination, and returns their number.
///
/// # Errors
/// Database errors.
pub(crate) async fn sweep(connection: &mut AsyncPgConnection) -> Result<usize> {
    let deleted = sql_query(
        // An array instead of a join, because a join could read every event.
        "DELETE FROM outbox WHERE seq = ANY (ARRAY(SELECT seq FROM outbox WHERE time < $1 \
         AND (destination IS NULL OR delivered_at IS NOT NULL) ORDER BY time LIMIT $2))",
    )
    .bind::<t::Timestamptz, _>(clock::now() - RETENTION)
    .bind::<t::BigInt, _>(SWEEP_LIMIT)
    .execute(connection)
    .await?;
    Ok(deleted)
}
