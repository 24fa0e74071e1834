//! Holds the counters of lists to what they count.
//!
//! A list's total is a sum of a few counter rows, kept in the statement of each change. Should one ever be off, by a
//! fault of ours or a hand in the database, nobody would notice. So a worker goes through all lists again and again,
//! a few at a time, and compares. One statement counts a list and reads its counter: it sees both at one moment, so
//! that a difference is one, whatever is written meanwhile. A difference is told and taken back.

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

/// Lists that one turn counts, by the things that have one.
const PARENTS: i64 = 16;
/// Of the time, at most one part in so many is spent counting.
const SHARE: u32 = 20;
/// Whoever counts holds this lock, so that no difference is taken back twice.
const LOCK: i64 = 0x6e6e_6f63;

/// Lists of one kind, and how they are counted.
#[derive(Debug, Clone, Copy)]
pub struct Tally {
    /// What is in the lists, for logs and metrics.
    pub name: &'static str,
    /// A query for the lists of the next `$2` parents after `$1`, by id of the parent: `parent`, the counter's `key`,
    /// and how many things are `found`. Every count goes through an index.
    pub sql: &'static str,
}

/// Those of the shared tables.
const OWN: [Tally; 2] = [
    Tally {
        name: "audit",
        sql: "SELECT parent, 'audit' AS key, (SELECT count(*) FROM audit_log) AS found \
              FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
    },
    Tally {
        name: "audit of a platform",
        // Each platform is found by a step through the index, not by reading the entries.
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

/// A list whose counter is off.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Drift {
    /// The counter.
    #[diesel(sql_type = t::Text)]
    pub key: String,
    /// What it said.
    #[diesel(sql_type = t::BigInt)]
    pub kept: i64,
    /// How many things there are.
    #[diesel(sql_type = t::BigInt)]
    pub found: i64,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = t::Text)]
    parent: String,
    #[diesel(embed)]
    list: Drift,
}

/// Goes through the lists of one database.
#[derive(Debug, Clone)]
pub struct Recount {
    db: Db,
    tallies: Arc<[Tally]>,
    place: Arc<Mutex<Place>>,
}

/// How far a round has come.
#[derive(Debug, Default)]
struct Place {
    tally: usize,
    parent: String,
}

impl Recount {
    /// Of the shared lists and `tallies`.
    pub fn new(db: Db, tallies: &[Tally]) -> Self {
        let tallies = OWN.iter().chain(tallies).copied().collect();
        Self { db, tallies, place: Arc::default() }
    }

    /// Begins a round every `every`, until the process stops; the first at a random time within, so that processes
    /// started together do not count together.
    pub fn start(self, every: Duration, shutdown: &Shutdown) {
        let (stop, begun) = (shutdown.clone(), Arc::new(AtomicBool::new(false)));
        worker::run(shutdown, "recount", every, Arc::default(), move || {
            let (recount, stop, begun) = (self.clone(), stop.clone(), Arc::clone(&begun));
            async move {
                if !begun.swap(true, Ordering::Relaxed) {
                    let part: f64 = rand::rng().random();
                    stop.sleep(every.mul_f64(part)).await;
                    return Ok(true);
                }
                let started = Instant::now();
                let more = recount.turn().await?.is_some();
                // In nobody's way: what is between two turns is a multiple of what they take.
                stop.sleep(started.elapsed() * (SHARE - 1)).await;
                Ok(more)
            }
        });
    }

    /// Counts some lists, and sets right and tells those whose counters were off; `None` at the end of the round.
    ///
    /// # Errors
    /// Those of the database; a list that cannot be counted in time is told and passed.
    pub async fn turn(&self) -> Result<Option<Vec<Drift>>> {
        let mut place = self.place.lock().await;
        let Some(tally) = self.tallies.get(place.tally).copied() else {
            *place = Place::default();
            return Ok(None);
        };
        let next = match self.page(tally, &place.parent).await {
            Err(error) if error.log_context().contains("statement timeout") => {
                tracing::warn!(
                    lists = tally.name,
                    after = place.parent,
                    "lists too long to be counted in time"
                );
                None
            }
            result => result?,
        };
        let (parent, off) = next.unwrap_or_default();
        *place = match parent {
            Some(parent) => Place { tally: place.tally, parent },
            None => Place { tally: place.tally + 1, parent: String::new() },
        };
        Ok(Some(off))
    }

    /// The last parent of a page, if it was whole, and the lists that were off; `None` while another process counts.
    async fn page(&self, tally: Tally, after: &str) -> Result<Option<(Option<String>, Vec<Drift>)>> {
        let ctx = WriteCtx::for_service(self.db.service(), "recount");
        let done = self
            .db
            .tx("counters.recount", &ctx, async |tx| {
                let c = tx.conn().await?;
                if !alone(c).await? {
                    return Ok(None);
                }
                let lists = count(c, tally, after).await?;
                let last = lists.last().map(|list| list.parent.clone());
                let off: Vec<Drift> =
                    lists.into_iter().map(|one| one.list).filter(|list| list.kept != list.found).collect();
                for drift in &off {
                    correct(c, drift).await?;
                }
                let told: Vec<_> = off.into_iter().map(|one| (one.key, one.kept, one.found)).collect();
                Ok(Some((last, told)))
            })
            .await?;
        let Some((last, off)) = done.value else { return Ok(None) };
        let off: Vec<Drift> = off.into_iter().map(|(key, kept, found)| Drift { key, kept, found }).collect();
        off.iter().for_each(|drift| drift.tell(tally));
        Ok(Some((last, off)))
    }
}

impl Drift {
    fn tell(&self, tally: Tally) {
        let Self { key, kept, found } = self;
        let difference = kept - found;
        tracing::warn!(counter = key, kept, found, difference, "a counter was off, and is set right");
        let labels = [KeyValue::new("lists", tally.name)];
        telemetry::add("nno.counter.drift", &labels, difference.unsigned_abs());
    }
}

/// Whether no other process counts now; then none does until the transaction ends.
async fn alone(c: &mut AsyncPgConnection) -> Result<bool> {
    #[derive(QueryableByName)]
    struct Held {
        #[diesel(sql_type = t::Bool)]
        held: bool,
    }
    let held: Held = sql_query("SELECT pg_try_advisory_xact_lock($1) AS held")
        .bind::<t::BigInt, _>(LOCK)
        .get_result(c)
        .await?;
    Ok(held.held)
}

/// The lists of some parents, each counted and its counter read at one moment.
async fn count(c: &mut AsyncPgConnection, tally: Tally, after: &str) -> Result<Vec<Counted>> {
    let sql = format!(
        "SELECT parent, key, found, coalesce((SELECT sum(n) FROM counters WHERE counters.key = lists.key), 0)::bigint AS kept \
         FROM ({}) AS lists ORDER BY parent",
        tally.sql
    );
    Ok(sql_query(sql).bind::<t::Text, _>(after).bind::<t::BigInt, _>(PARENTS).load(c).await?)
}

/// Takes a difference back. It is added rather than the sum set, so that what is written meanwhile counts too.
async fn correct(c: &mut AsyncPgConnection, drift: &Drift) -> Result<()> {
    sql_query(
        "INSERT INTO counters (key, shard, n) VALUES ($1, 0, $2) \
         ON CONFLICT (key, shard) DO UPDATE SET n = counters.n + excluded.n",
    )
    .bind::<t::Text, _>(&drift.key)
    .bind::<t::BigInt, _>(drift.found - drift.kept)
    .execute(c)
    .await?;
    Ok(())
}
