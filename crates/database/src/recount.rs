//! Compares list counters with the rows that they count.
//!
//! A list's total is the sum of a few counter rows, which every change updates in its own statement. A bug or a manual
//! edit could make a counter drift without anybody noticing. A worker therefore walks through all lists, a few at a
//! time. One statement counts a list and reads its counter in the same snapshot, so concurrent writes cannot cause a
//! false difference. The worker reports each difference and corrects it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{QueryableByName, sql_query, sql_types as t};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Result;
use identity::WriteCtx;
use opentelemetry::KeyValue;
use rand::Rng;
use runtime::{shutdown::Shutdown, telemetry, worker};
use tokio::sync::Mutex;

use super::Db;

/// Number of parents whose lists one run counts.
const PAGE_SIZE: i64 = 16;
/// The worker spends at most one part in this many of its time counting.
const DUTY_FACTOR: u32 = 20;
/// Key of the advisory lock that the counting process holds, so that two processes do not correct the same difference.
const LOCK: i64 = 0x6e6e_6f63;

/// Lists of one kind, and the query that counts them.
#[derive(Debug, Clone, Copy)]
pub struct CounterSource {
    /// Name of the lists in logs and metrics.
    pub name: &'static str,
    /// Query for the lists of the next `$2` parents after `$1`, ordered by id of the parent. Returns `parent`, the
    /// counter's `key` and the actual number of rows as `found`. Every count uses an index.
    pub sql: &'static str,
}

/// Counter sources of the shared tables.
const SHARED_SOURCES: [CounterSource; 2] = [
    CounterSource {
        name: "audit",
        sql: "SELECT parent, 'audit' AS key, (SELECT count(*) FROM audit_log) AS found \
              FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
    },
    CounterSource {
        name: "audit of a platform",
        // Finds each platform with one index step instead of reading the entries.
        sql: "WITH RECURSIVE next AS (\
                  (SELECT platform_id FROM audit_log WHERE platform_id > $1 ORDER BY platform_id LIMIT 1) \
                  UNION ALL \
                  SELECT (SELECT a.platform_id FROM audit_log a WHERE a.platform_id > next.platform_id \
                          ORDER BY a.platform_id LIMIT 1) FROM next WHERE next.platform_id IS NOT NULL), \
              parents AS (SELECT platform_id FROM next WHERE platform_id IS NOT NULL LIMIT $2) \
              SELECT platform_id AS parent, 'audit:' || platform_id AS key, \
                  (SELECT count(*) FROM audit_log a WHERE a.platform_id = parents.platform_id) AS found FROM parents",
    },
];

/// A counter that differs from the rows that it counts.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Drift {
    /// Key of the counter.
    #[diesel(sql_type = t::Text)]
    pub key: String,
    /// Stored total.
    #[diesel(sql_type = t::BigInt)]
    pub stored: i64,
    /// Actual number of objects.
    #[diesel(sql_type = t::BigInt)]
    pub actual: i64,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = t::Text)]
    parent: String,
    #[diesel(embed)]
    list: Drift,
}

/// Recounts the lists of one database.
#[derive(Debug, Clone)]
pub struct Recount {
    db: Db,
    sources: Arc<[CounterSource]>,
    position: Arc<Mutex<ScanPosition>>,
}

/// Position of the current round.
#[derive(Debug, Default)]
struct ScanPosition {
    source: usize,
    parent: String,
}

impl Recount {
    /// Creates a recount of the shared lists and of `sources`.
    pub fn new(db: Db, sources: &[CounterSource]) -> Self {
        let sources = SHARED_SOURCES.iter().chain(sources).copied().collect();
        Self { db, sources, position: Arc::default() }
    }

    /// Starts a round every `every` until the process stops. The first one starts at a random time within the interval,
    /// so that processes started together do not count together.
    pub fn start(self, every: Duration, shutdown: &Shutdown) {
        let (stop, delayed) = (shutdown.clone(), Arc::new(AtomicBool::new(false)));
        worker::run(shutdown, "recount", every, Arc::default(), move || {
            let (recount, stop, delayed) = (self.clone(), stop.clone(), Arc::clone(&delayed));
            async move {
                if !delayed.swap(true, Ordering::Relaxed) {
                    let part: f64 = rand::rng().random();
                    stop.sleep(every.mul_f64(part)).await;
                    return Ok(true);
                }
                let started = Instant::now();
                let more = recount.run_once().await?.is_some();
                // Pauses for a multiple of the time that the run took, to leave the database to requests.
                stop.sleep(started.elapsed() * (DUTY_FACTOR - 1)).await;
                Ok(more)
            }
        });
    }

    /// Counts the next page of lists and corrects the counters that drifted. Returns `None` at the end of the round.
    ///
    /// # Errors
    /// Database errors. A list that cannot be counted in time is logged and skipped.
    pub async fn run_once(&self) -> Result<Option<Vec<Drift>>> {
        let mut position = self.position.lock().await;
        let Some(source) = self.sources.get(position.source).copied() else {
            *position = ScanPosition::default();
            return Ok(None);
        };
        let next = match self.page(source, &position.parent).await {
            Err(error) if error.log_context().contains("statement timeout") => {
                tracing::warn!(
                    lists = source.name,
                    after = position.parent,
                    "skipped lists that take too long to count"
                );
                None
            }
            result => result?,
        };
        let (parent, off) = next.unwrap_or_default();
        *position = match parent {
            Some(parent) => ScanPosition { source: position.source, parent },
            None => ScanPosition { source: position.source + 1, parent: String::new() },
        };
        Ok(Some(off))
    }

    /// Returns the last parent of a page and the drifted counters. `None` while another process counts.
    async fn page(&self, source: CounterSource, after: &str) -> Result<Option<(Option<String>, Vec<Drift>)>> {
        let ctx = WriteCtx::for_service(self.db.service(), "recount");
        let done = self
            .db
            .tx("counters.recount", &ctx, async |tx| {
                let c = tx.conn().await?;
                if !try_lock(c).await? {
                    return Ok(None);
                }
                let lists = count(c, source, after).await?;
                let last = lists.last().map(|list| list.parent.clone());
                let off: Vec<Drift> =
                    lists.into_iter().map(|one| one.list).filter(|list| list.stored != list.actual).collect();
                for drift in &off {
                    correct(c, drift).await?;
                }
                let drifts: Vec<_> = off.into_iter().map(|one| (one.key, one.stored, one.actual)).collect();
                Ok(Some((last, drifts)))
            })
            .await?;
        let Some((last, off)) = done.value else { return Ok(None) };
        let off: Vec<Drift> =
            off.into_iter().map(|(key, stored, actual)| Drift { key, stored, actual }).collect();
        off.iter().for_each(|drift| drift.report(source));
        Ok(Some((last, off)))
    }
}

impl Drift {
    fn report(&self, source: CounterSource) {
        let Self { key, stored, actual } = self;
        let difference = stored - actual;
        tracing::warn!(counter = key, stored, actual, difference, "corrected a counter that was off");
        let labels = [KeyValue::new("lists", source.name)];
        telemetry::add("nno.counter.drift", &labels, difference.unsigned_abs());
    }
}

/// Takes the counting lock until the transaction ends. Returns false if another process holds it.
async fn try_lock(c: &mut AsyncPgConnection) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Lock {
        #[diesel(sql_type = t::Bool)]
        held: bool,
    }
    let lock: Lock = sql_query("SELECT pg_try_advisory_xact_lock($1) AS held")
        .bind::<t::BigInt, _>(LOCK)
        .get_result(c)
        .await?;
    Ok(lock.held)
}

/// Counts the lists of a page of parents and reads their counters in one snapshot.
async fn count(c: &mut AsyncPgConnection, source: CounterSource, after: &str) -> Result<Vec<Counted>> {
    let sql = format!(
        "SELECT parent, key, found AS actual, coalesce((SELECT sum(n) FROM counters WHERE counters.key = lists.key), 0)::bigint AS stored \
         FROM ({}) AS lists ORDER BY parent",
        source.sql
    );
    Ok(sql_query(sql).bind::<t::Text, _>(after).bind::<t::BigInt, _>(PAGE_SIZE).load(c).await?)
}

/// Corrects a counter. It adds the difference instead of setting the total, so that concurrent writes still count.
async fn correct(c: &mut AsyncPgConnection, drift: &Drift) -> Result<()> {
    sql_query(
        "INSERT INTO counters (key, shard, n) VALUES ($1, 0, $2) \
         ON CONFLICT (key, shard) DO UPDATE SET n = counters.n + excluded.n",
    )
    .bind::<t::Text, _>(&drift.key)
    .bind::<t::BigInt, _>(drift.actual - drift.stored)
    .execute(c)
    .await?;
    Ok(())
}
