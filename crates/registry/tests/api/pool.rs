//! The connection pool never lends out a connection that may be in use.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Response;

use crate::world::World;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// An operator's `pg_cancel_backend`, or a stall beyond the statement timeout, hits between the `BEGIN` of a batch and
/// the statements after it. The server is then in an aborted transaction that the driver does not know about.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_clean_after_cancelled_statements() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let path = format!("/api/v1/platforms/{platform}");
    let over = AtomicBool::new(false);
    let write = async |n: usize| {
        let mut round = 0;
        while !AtomicBool::load(&over, Ordering::Relaxed) {
            let dry = if n.is_multiple_of(2) { "?dryRun=true" } else { "" };
            // The responses do not matter while statements are being cancelled.
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

/// One tenant's reads hang in the database, as slow ones would, and many more of them wait.
#[tokio::test(flavor = "multi_thread")]
async fn slow_reads_of_one_tenant_leave_connections_to_others() {
    let set =
        json!({ "database": { "pool_per_worker": 4, "lock_timeout": "20s", "acquire_timeout": "20s" } });
    let world = World::start_with(set).await;
    let (noisy, quiet) = (world.platform("noisy").await, world.platform("quiet").await);
    let mut other = world.db.connect_as_superuser().await;
    sql_query("BEGIN").execute(&mut other).await.unwrap();
    sql_query("LOCK TABLE builds IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();

    let (scope, builds) = (json!({ "platform": noisy }), format!("/api/v1/platforms/{noisy}/builds"));
    let noise = join_all((0..24).map(|_| world.send_as(&scope, Method::GET, &builds, &Value::Null)));
    let listener = async {
        let mut observer = world.db.connect_as_superuser().await;
        let waiting = "SELECT count(*) AS n FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        // One tenant's share is three of the four connections.
        while sql_query(waiting).get_result::<Count>(&mut observer).await.unwrap().n < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (own, path) = (json!({ "platform": quiet }), format!("/api/v1/platforms/{quiet}"));
        for _ in 0..5 {
            let read = world.send_as(&own, Method::GET, &path, &Value::Null);
            tokio::time::timeout(Duration::from_secs(10), read).await.expect("a free connection").expect(200);
        }
        sql_query("ROLLBACK").execute(&mut other).await.unwrap();
    };
    let (answers, ()) = tokio::join!(noise, listener);
    assert_eq!(answers.into_iter().filter(|answer| answer.status == 200).count(), 24);
}

/// The statement of a timed-out request does not delay the next request.
#[tokio::test(flavor = "multi_thread")]
async fn abandoned_reads_free_their_connections() {
    let set = json!({
        "http": { "request_timeout": "400ms" },
        "database": { "pool_per_worker": 2, "lock_timeout": "20s", "statement_timeout": "20s" },
    });
    let world = World::start_with(set).await;
    let platform = world.platform("a").await;
    let mut other = world.db.connect_as_superuser().await;
    sql_query("BEGIN").execute(&mut other).await.unwrap();
    sql_query("LOCK TABLE builds IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let (path, builds) =
        (format!("/api/v1/platforms/{platform}"), format!("/api/v1/platforms/{platform}/builds"));
    for _ in 0..3 {
        world.get(&builds).await.expect_error(504, "GATEWAY_TIMEOUT");
        // The same caller, whose share is one of the two connections.
        world.get(&path).await.expect(200);
    }
    let stuck = "SELECT count(*) AS n FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut observer = world.db.connect_as_superuser().await;
    // Abandoned statements are cancelled.
    while sql_query(stuck).get_result::<Count>(&mut observer).await.unwrap().n > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sql_query("ROLLBACK").execute(&mut other).await.unwrap();
}

/// PostgreSQL reports a full disk in the words of the operating system; here a trigger raises the error instead.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_503_and_reported_by_ready_until_a_write_succeeds() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let path = format!("/api/v1/platforms/{platform}");
    let ready = async || Response::read(world.anonymous(Method::GET, "/ready").send().await.unwrap()).await;
    ready().await.expect(200);

    let mut superuser = world.db.connect_as_superuser().await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'could not extend file \"base/1/1\": No space left on device' USING ERRCODE = 'disk_full'; \
         END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON audit_log EXECUTE FUNCTION full_disk()";
    superuser.batch_execute(full).await.unwrap();
    let refused = world.patch(&path, json!({ "name": "b" })).await;
    assert_eq!(refused.expect_error(503, "SERVICE_UNAVAILABLE")["reason"], "disk_full");
    world.get(&path).await.expect(200);
    let checks = ready().await.expect(503);
    assert_eq!(checks["checks"]["database"], "the disk of the database is full; writes fail");

    superuser.batch_execute("DROP FUNCTION full_disk() CASCADE").await.unwrap();
    world.patch(&path, json!({ "name": "b" })).await.expect(200);
    ready().await.expect(200);
}
