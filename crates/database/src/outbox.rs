//! Delivers what services owe each other: at least once, in order per subject.
//!
//! An event is written in the statement of the change that causes it (see `db::Record`). The relay takes the oldest
//! undelivered event of each subject, hides it for a while by moving its next attempt, hands it over without
//! holding a connection, and marks it. A relay that dies is succeeded when the hiding ends; the receiver knows an
//! event it has had by its id. An event that cannot be delivered holds up its own subject alone.

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
const HIDDEN: TimeDelta = TimeDelta::seconds(15);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
/// How long an event may wait before that is told, and how many are counted at most.
const LATE: TimeDelta = TimeDelta::seconds(30);
const MOST_COUNTED: i64 = 1000;
const POLL: Duration = Duration::from_millis(500);
const KEPT: TimeDelta = TimeDelta::days(7);
const SWEPT: i64 = 1000;

/// Something that must reach another service: a CloudEvent.
#[derive(Debug, Clone, QueryableByName)]
pub struct Event {
    #[diesel(sql_type = t::BigInt)]
    seq: i64,
    /// What the receiver knows a repetition by.
    #[diesel(sql_type = t::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = t::Text)]
    destination: String,
    /// What happened or is asked, such as `provisioning.job`.
    #[diesel(sql_type = t::Text)]
    #[diesel(column_name = "type")]
    pub kind: String,
    /// The thing it is about; events of one subject keep their order.
    #[diesel(sql_type = t::Text)]
    pub subject: String,
    /// When it was written.
    #[diesel(sql_type = t::Timestamptz)]
    pub time: DateTime<Utc>,
    /// What is to be known of it.
    #[diesel(sql_type = t::Jsonb)]
    pub data: Value,
    #[diesel(sql_type = t::Text)]
    request_id: String,
    #[diesel(sql_type = t::Nullable<t::Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = t::Integer)]
    attempts: i32,
}

/// Hands events to one destination.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Returns when the receiver has it for good.
    async fn deliver(&self, ctx: &Ctx, event: &Event) -> Result<()>;
}

/// Delivers the events of one database.
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
    /// A relay to these destinations.
    pub fn new(db: Db, destinations: impl IntoIterator<Item = (&'static str, Arc<dyn Deliver>)>) -> Self {
        Self { db, destinations: Arc::new(destinations.into_iter().collect()) }
    }

    /// Delivers until the process stops.
    pub fn start(self, shutdown: &Shutdown) {
        let wake = self.db.relay_wake();
        worker::run(shutdown, "outbox", POLL, wake, move || {
            let relay = self.clone();
            async move { Ok(relay.turn().await? > 0) }
        });
    }

    /// Tells of events that wait for long. The service does its work without them, for a while.
    pub fn probe(&self) -> Probe {
        let relay = self.clone();
        Probe::optional("outbox", move || {
            let relay = relay.clone();
            Box::pin(async move {
                match relay.db.own_read(async |c| late(c).await).await {
                    Ok(None) => Ok(()),
                    Ok(Some(late)) => Err(late.to_string()),
                    Err(error) => Err(error.message().to_owned()),
                }
            })
        })
    }

    /// Delivers what is due now; answers how many events were tried.
    ///
    /// # Errors
    /// Those of the database; a failed delivery is none.
    pub async fn turn(&self) -> Result<usize> {
        let due = take(&mut **self.db.own_conn().await?).await?;
        let tried = due.len();
        // Different subjects do not wait for each other.
        futures_util::future::try_join_all(due.into_iter().map(|event| self.hand_over(event))).await?;
        Ok(tried)
    }

    async fn hand_over(&self, event: Event) -> Result<()> {
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
            let mut connection = self.db.own_conn().await?;
            match result {
                Ok(()) => delivered(&mut connection, event.seq).await,
                Err(error) => {
                    let (told, context) = (error.message(), error.log_context());
                    tracing::warn!(attempts = event.attempts, told, context, "delivery failed");
                    put_off(&mut connection, &event, &error).await
                }
            }
        }
        .instrument(span)
        .await
    }
}

async fn take(connection: &mut AsyncPgConnection) -> Result<Vec<Event>> {
    // By the clock of the database alone: relays of several machines share the work, and their clocks differ.
    let taken = sql_query(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = now() + $1 * interval '1 millisecond' \
         WHERE seq IN (\
             SELECT seq FROM outbox head \
             WHERE destination IS NOT NULL AND delivered_at IS NULL AND next_attempt_at <= now() AND NOT EXISTS (\
                 SELECT 1 FROM outbox earlier WHERE earlier.subject = head.subject AND earlier.seq < head.seq \
                 AND earlier.destination IS NOT NULL AND earlier.delivered_at IS NULL) \
             ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING seq, id, destination, type, subject, time, data, request_id, traceparent, attempts",
    )
    .bind::<t::BigInt, _>(HIDDEN.num_milliseconds())
    .bind::<t::BigInt, _>(BATCH)
    .load(connection)
    .await?;
    Ok(taken)
}

/// Events that should have been delivered by now.
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
        let most = if self.count == MOST_COUNTED { "at least " } else { "" };
        write!(f, "{most}{} waiting to be delivered, the oldest for {age} s", self.count)?;
        self.error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

async fn late(mut connection: &AsyncPgConnection) -> Result<Option<Late>> {
    let late: Late = sql_query(
        "SELECT count(*) AS count, min(time) AS oldest, (array_agg(last_error ORDER BY time))[1] AS error \
         FROM (SELECT time, last_error FROM outbox WHERE destination IS NOT NULL AND delivered_at IS NULL \
             ORDER BY next_attempt_at LIMIT $2) AS waiting WHERE time < $1",
    )
    .bind::<t::Timestamptz, _>(clock::now() - LATE)
    .bind::<t::BigInt, _>(MOST_COUNTED)
    .get_result(&mut connection)
    .await?;
    Ok(Some(late).filter(|late| late.count > 0))
}

async fn delivered(connection: &mut AsyncPgConnection, seq: i64) -> Result<()> {
    sql_query("UPDATE outbox SET delivered_at = $1, last_error = NULL WHERE seq = $2")
        .bind::<t::Timestamptz, _>(clock::now())
        .bind::<t::BigInt, _>(seq)
        .execute(connection)
        .await?;
    Ok(())
}

async fn put_off(connection: &mut AsyncPgConnection, event: &Event, error: &Error) -> Result<()> {
    // This attempt is counted already.
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

/// What an event that is not delivered yet waits for.
#[derive(Debug, Clone, QueryableByName)]
pub struct Undelivered {
    /// The first event of its subject that is not delivered: itself, or one before it.
    #[diesel(sql_type = t::Uuid)]
    pub first: Uuid,
    /// How often that one was tried, this time included.
    #[diesel(sql_type = t::Integer)]
    pub attempts: i32,
    /// When it is tried next.
    #[diesel(sql_type = t::Timestamptz)]
    pub next_attempt_at: DateTime<Utc>,
    /// Why the last try failed: the kind of the error, and what it says.
    #[diesel(sql_type = t::Nullable<t::Text>)]
    pub last_error: Option<String>,
}

/// What holds up the event `id` of a subject; nothing when it is delivered.
///
/// # Errors
/// Those of the database.
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

/// Deletes some of what was delivered, or told only as a fact, long ago; answers how many.
///
/// # Errors
/// Those of the database.
pub(crate) async fn sweep(connection: &mut AsyncPgConnection) -> Result<usize> {
    let deleted = sql_query(
        // An array rather than a join, for which all events might be read.
        "DELETE FROM outbox WHERE seq = ANY (ARRAY(SELECT seq FROM outbox WHERE time < $1 \
         AND (destination IS NULL OR delivered_at IS NOT NULL) ORDER BY time LIMIT $2))",
    )
    .bind::<t::Timestamptz, _>(clock::now() - KEPT)
    .bind::<t::BigInt, _>(SWEPT)
    .execute(connection)
    .await?;
    Ok(deleted)
}
