//! The pool of connections: one that is not known to be clean never serves the next request.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use serde_json::json;

use crate::world::World;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// An operator's `pg_cancel_backend`, or a stall longer than the statement timeout, strikes between the `BEGIN` of a
/// batch and the statements after it. Postgres is left inside an aborted transaction that the driver knows nothing of.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_clean_again_after_cancelled_statements() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let path = format!("/api/v1/platforms/{platform}");
    let over = AtomicBool::new(false);
    let write = async |n: usize| {
        let mut round = 0;
        while !AtomicBool::load(&over, Ordering::Relaxed) {
            let dry = if n.is_multiple_of(2) { "?dryRun=true" } else { "" };
            // Whatever becomes of it while statements are cancelled.
            let _ = world.patch(&format!("{path}{dry}"), json!({ "name": format!("{n} {round}") })).await;
            round += 1;
        }
    };
    let cancel = async {
        let mut other = world.db.connect_as_superuser().await;
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            sql_query(
                "SELECT pg_cancel_backend(pid) FROM generate_series(1, 20), pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'registry' AND state <> 'idle' \
                     AND query LIKE 'BEGIN%'",
            )
            .execute(&mut other)
            .await
            .unwrap();
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(cancel, join_all((0..16).map(write)));

    let mut observer = world.db.connect_as_superuser().await;
    for round in 0..60 {
        world.patch(&path, json!({ "name": format!("after {round}") })).await.expect(200);
        world.get(&path).await.expect(200);
    }
    let aborted = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
         AND state = 'idle in transaction (aborted)'";
    let left: Count = sql_query(aborted).get_result(&mut observer).await.unwrap();
    assert_eq!(left.n, 0);
}
