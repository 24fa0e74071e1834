//! Lists of sagas, and the indexes that they and the engine use.

use std::collections::HashSet;

use diesel_async::SimpleAsyncConnection;
use domain::{Cursor, Limit, Total};
use saga::{Cause, Filter, Saga, SagaStatus};

use crate::world::{UNDO, World};

/// Inserts 10,000 sagas of a hundred subjects: most have ended, 100 wait and 4 are stuck.
async fn fill(world: &World) {
    let sql = "INSERT INTO sagas (id, kind, version, subject, status, input, cause, next_run_at, fence, request_id, \
             created_at, updated_at, finished_at) \
         SELECT gen_random_uuid(), 'undo-on-failure', 1, 'subject-' || n % 100, \
             CASE WHEN n % 2500 = 0 THEN 'stuck' WHEN n % 100 = 7 THEN 'running' \
                 WHEN n % 10 = 3 THEN 'undone' ELSE 'completed' END, \
             '{}', CASE WHEN n % 20 = 3 THEN 'failed' WHEN n % 10 = 3 THEN 'cancelled' END, \
             now() + interval '1 hour', 1, 'request', now() - n / 3 * interval '1 s', now(), now() \
         FROM generate_series(1, 10000) AS n; ANALYZE sagas";
    let mut owner = world.db.connect_as_owner().await;
    owner.batch_execute(sql).await.unwrap();
}

async fn read_all(world: &World, filter: &Filter<'_>, limit: &str) -> Vec<Saga> {
    let limit = Limit::parse(Some(limit)).unwrap();
    let scope = world.ctx().caller.scope;
    let connection = world.pool.service_conn().await.unwrap();
    let (mut all, mut after) = (Vec::new(), Cursor::start());
    loop {
        let mut rows = saga::page(&connection, &scope, filter, limit, &after).await.unwrap();
        let more = rows.len() > limit.get();
        rows.truncate(limit.get());
        all.extend(rows);
        if !more {
            let total = saga::count(&connection, &scope, filter).await.unwrap();
            assert_eq!(total, Total::Exact(i64::try_from(all.len()).unwrap()), "{filter:?}");
            return all;
        }
        after = all.last().map(Saga::cursor).unwrap();
    }
}

#[tokio::test]
async fn pages_contain_every_matching_saga_once_in_order() {
    let world = World::new().await;
    fill(&world).await;
    let (active, ended) =
        ([SagaStatus::Running, SagaStatus::Stuck], [SagaStatus::Undone, SagaStatus::Undone]);
    let filters = [
        (Filter::default(), 10_000),
        (Filter { statuses: &active, ..Filter::default() }, 104),
        (Filter { statuses: &ended, ..Filter::default() }, 1_000),
        (Filter { statuses: &ended, causes: &[Cause::Cancelled], ..Filter::default() }, 500),
        (Filter { causes: &[Cause::Failed, Cause::Cancelled], ..Filter::default() }, 1_000),
        (Filter { subject: Some("subject-7"), ..Filter::default() }, 100),
        (Filter { subject: Some("subject-0"), statuses: &active, ..Filter::default() }, 4),
        (Filter { subject: Some("none"), ..Filter::default() }, 0),
    ];
    for (filter, total) in filters {
        let all = read_all(&world, &filter, "100").await;
        assert_eq!(all.len(), total, "{filter:?}");
        assert_eq!(all.iter().map(|saga| saga.id).collect::<HashSet<_>>().len(), total, "{filter:?}");
        assert!(all.is_sorted_by(|a, b| (a.created_at, a.id) > (b.created_at, b.id)), "{filter:?}");
        let matches = |saga: &Saga| {
            (filter.statuses.is_empty() || filter.statuses.contains(&saga.status))
                && (filter.causes.is_empty()
                    || saga.cause.is_some_and(|cause| filter.causes.contains(&cause)))
                && filter.subject.is_none_or(|subject| saga.subject == subject)
        };
        assert!(all.iter().all(matches), "{filter:?}");
    }
}

#[tokio::test]
async fn counts_above_ten_thousand_are_estimated() {
    let world = World::new().await;
    fill(&world).await;
    let scope = world.ctx().caller.scope;
    let connection = world.pool.service_conn().await.unwrap();
    let all = async || saga::count(&connection, &scope, &Filter::default()).await.unwrap();
    assert_eq!(all().await, Total::Exact(10_000));
    world.begin(UNDO).await;
    let Total::Estimate(about) = all().await else { panic!("10,001 were counted") };
    assert!((10_001..11_000).contains(&about), "{about}");
    let few = Filter { statuses: &[SagaStatus::Undone], ..Filter::default() };
    assert_eq!(saga::count(&connection, &scope, &few).await.unwrap(), Total::Exact(1_000));
}

#[tokio::test]
async fn steps_of_several_sagas_are_ordered_by_saga_and_position() {
    let world = World::new().await;
    let (one, two, _) = (world.begin(UNDO).await, world.begin(UNDO).await, world.begin(UNDO).await);
    let steps = saga::steps_of(&world.pool.service_conn().await.unwrap(), &[two, one]).await.unwrap();
    let found: Vec<_> = steps.iter().map(|step| (step.saga_id, step.name.as_str())).collect();
    let (first, second) = (one.min(two), one.max(two));
    let expected = [first, second].into_iter().flat_map(|id| ["a", "b", "c"].map(|name| (id, name)));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// The read counters of the database.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Read {
    /// Sequential scans of the table.
    seq_scans: i64,
    /// Entries read from the index.
    entries: i64,
    scans: i64,
}

async fn read_of(world: &World, index: &str) -> Read {
    let of_index = |what| {
        format!(
            "SELECT coalesce(sum({what}), 0)::bigint AS number FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"
        )
    };
    let seq_scans = "SELECT seq_scan AS number FROM pg_stat_user_tables WHERE relname = 'sagas'";
    Read {
        seq_scans: world.number(seq_scans).await,
        entries: world.number(&of_index("idx_tup_read")).await,
        scans: world.number(&of_index("idx_scan")).await,
    }
}

#[tokio::test]
async fn claims_use_the_index_of_due_sagas() {
    let world = World::new().await;
    fill(&world).await;
    let due = world.begin(UNDO).await;
    world.wait_for_disconnects().await;
    let before = read_of(&world, "sagas_due").await;
    let engine = world.engine(|setup| setup.own_connections = Some(world.db.app_url.clone()));
    assert!(engine.run_once().await.unwrap());
    assert!(!engine.run_once().await.unwrap());
    drop(engine);
    world.wait_for_disconnects().await;
    let after = read_of(&world, "sagas_due").await;
    assert_eq!(world.load(due).await.saga.status, SagaStatus::Completed);
    assert_eq!(after.seq_scans, before.seq_scans, "no statement of the engine scanned the table");
    // One scan per fairness key, independent of the number of sagas.
    assert!(after.scans - before.scans <= 6, "{before:?} {after:?}");
    // The 100 waiting sagas are active and are not read.
    assert!(after.entries - before.entries <= 8, "{before:?} {after:?}");
}

#[tokio::test]
async fn pages_use_their_indexes() {
    let world = World::new().await;
    fill(&world).await;
    let scope = world.ctx().caller.scope;
    let statuses = [SagaStatus::Stuck, SagaStatus::Running, SagaStatus::Completed];
    let cases = [
        ("sagas_newest", Filter::default(), 52),
        ("sagas_by_status", Filter { statuses: &statuses[..1], ..Filter::default() }, 6),
        ("sagas_by_status", Filter { statuses: &statuses, ..Filter::default() }, 52 * 3),
        ("sagas_by_subject", Filter { subject: Some("subject-7"), ..Filter::default() }, 100),
    ];
    for (index, filter, most) in cases {
        world.wait_for_disconnects().await;
        let before = read_of(&world, index).await;
        let connection = world.db.connect().await;
        let middle =
            Cursor { at: runtime::clock::now() - chrono::TimeDelta::seconds(100), id: "~".to_owned() };
        for after in [Cursor::start(), middle] {
            saga::page(&connection, &scope, &filter, Limit::default(), &after).await.unwrap();
        }
        drop(connection);
        world.wait_for_disconnects().await;
        let after = read_of(&world, index).await;
        assert_eq!(after.seq_scans, before.seq_scans, "{index} {filter:?}");
        assert!(after.scans >= before.scans + 2, "{index} {filter:?}: {before:?} {after:?}");
        assert!(after.entries - before.entries <= most * 2, "{index} {filter:?}: {before:?} {after:?}");
    }
}

#[tokio::test]
async fn wake_up_of_job_waiters_uses_its_index() {
    let world = World::new().await;
    fill(&world).await;
    let job = domain::id::uuid_v7();
    let steps = format!(
        "INSERT INTO saga_steps (saga_id, position, name, status, attempts, undo_attempts) \
             SELECT id, n, 'step', 'completed', 1, 0 FROM sagas, generate_series(0, 2) AS n; \
         UPDATE saga_steps SET waiting_for = jsonb_build_object('kind', 'job', 'at', 'dns', 'job', gen_random_uuid()) \
             WHERE position = 0 AND saga_id IN (SELECT id FROM sagas WHERE status = 'running'); \
         UPDATE saga_steps SET waiting_for = jsonb_set(waiting_for, '{{job}}', '\"{job}\"'), \
             next_attempt_at = now() + interval '1 hour' \
             WHERE saga_id = (SELECT min(saga_id::text)::uuid FROM saga_steps WHERE waiting_for IS NOT NULL); \
         ANALYZE saga_steps"
    );
    world.db.connect_as_owner().await.batch_execute(&steps).await.unwrap();
    world.wait_for_disconnects().await;
    let scans_of_steps = "SELECT seq_scan AS number FROM pg_stat_user_tables WHERE relname = 'saga_steps'";
    let before = read_of(&world, "saga_steps_job").await;
    let steps_before = world.number(scans_of_steps).await;
    let connection = world.db.connect().await;
    saga::wake_job_waiters(&connection, job).await.unwrap();
    assert_eq!(saga::awaited_jobs(&connection).await.unwrap().len(), 100);
    drop(connection);
    world.wait_for_disconnects().await;
    let after = read_of(&world, "saga_steps_job").await;
    assert_eq!((after.seq_scans, world.number(scans_of_steps).await), (before.seq_scans, steps_before));
    assert!(after.scans > before.scans, "{before:?} {after:?}");
    assert!(after.entries - before.entries <= 2, "{before:?} {after:?}");
    let due = "SELECT count(*) AS number FROM sagas JOIN saga_steps ON saga_id = id \
         WHERE sagas.next_run_at <= now() AND next_attempt_at <= now()";
    assert_eq!(world.number(due).await, 1);
}
