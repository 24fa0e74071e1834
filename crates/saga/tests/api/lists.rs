//! Lists of sagas, and that neither they nor the engine read more of the table than they must.

use std::collections::HashSet;

use diesel_async::SimpleAsyncConnection;
use domain::{Cursor, Limit, Total};
use saga::{Cause, Filter, Saga, SagaStatus};

use crate::world::{UNDO, World};

/// Ten thousand that have ended, of a hundred subjects; a few that are stuck, and some that wait.
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

async fn walk(world: &World, filter: &Filter<'_>, limit: &str) -> Vec<Saga> {
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
        after = all.last().map(Saga::place).unwrap();
    }
}

#[tokio::test]
async fn pages_hold_every_saga_that_passes_once_and_in_order() {
    let world = World::new().await;
    fill(&world).await;
    let (live, ended) = ([SagaStatus::Running, SagaStatus::Stuck], [SagaStatus::Undone, SagaStatus::Undone]);
    let filters = [
        (Filter::default(), 10_000),
        (Filter { statuses: &live, ..Filter::default() }, 104),
        (Filter { statuses: &ended, ..Filter::default() }, 1_000),
        (Filter { statuses: &ended, causes: &[Cause::Cancelled], ..Filter::default() }, 500),
        (Filter { causes: &[Cause::Failed, Cause::Cancelled], ..Filter::default() }, 1_000),
        (Filter { subject: Some("subject-7"), ..Filter::default() }, 100),
        (Filter { subject: Some("subject-0"), statuses: &live, ..Filter::default() }, 4),
        (Filter { subject: Some("none"), ..Filter::default() }, 0),
    ];
    for (filter, total) in filters {
        let all = walk(&world, &filter, "100").await;
        assert_eq!(all.len(), total, "{filter:?}");
        assert_eq!(all.iter().map(|saga| saga.id).collect::<HashSet<_>>().len(), total, "{filter:?}");
        assert!(all.is_sorted_by(|a, b| (a.created_at, a.id) > (b.created_at, b.id)), "{filter:?}");
        let passes = |saga: &Saga| {
            (filter.statuses.is_empty() || filter.statuses.contains(&saga.status))
                && (filter.causes.is_empty()
                    || saga.cause.is_some_and(|cause| filter.causes.contains(&cause)))
                && filter.subject.is_none_or(|subject| saga.subject == subject)
        };
        assert!(all.iter().all(passes), "{filter:?}");
    }
}

#[tokio::test]
async fn more_than_ten_thousand_are_estimated() {
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
async fn steps_of_a_page_are_one_statement() {
    let world = World::new().await;
    let (one, two, _) = (world.begin(UNDO).await, world.begin(UNDO).await, world.begin(UNDO).await);
    let steps = saga::steps_of(&world.pool.service_conn().await.unwrap(), &[two, one]).await.unwrap();
    let told: Vec<_> = steps.iter().map(|step| (step.saga_id, step.name.as_str())).collect();
    let (first, second) = (one.min(two), one.max(two));
    let expected = [first, second].into_iter().flat_map(|id| ["a", "b", "c"].map(|name| (id, name)));
    assert_eq!(told, expected.collect::<Vec<_>>());
}

/// What the database itself counted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Read {
    /// Reads of the whole table.
    whole: i64,
    /// Entries read of the index.
    entries: i64,
    scans: i64,
}

async fn read_of(world: &World, index: &str) -> Read {
    let of_index = |what| {
        format!(
            "SELECT coalesce(sum({what}), 0)::bigint AS number FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"
        )
    };
    let whole = "SELECT seq_scan AS number FROM pg_stat_user_tables WHERE relname = 'sagas'";
    Read {
        whole: world.number(whole).await,
        entries: world.number(&of_index("idx_tup_read")).await,
        scans: world.number(&of_index("idx_scan")).await,
    }
}

#[tokio::test]
async fn what_is_due_is_found_through_its_index() {
    let world = World::new().await;
    fill(&world).await;
    let due = world.begin(UNDO).await;
    world.all_gone().await;
    let before = read_of(&world, "sagas_due").await;
    let engine = world.engine(|setup| setup.own_connections = Some(world.db.app_url.clone()));
    assert!(engine.turn().await.unwrap());
    assert!(!engine.turn().await.unwrap());
    drop(engine);
    world.all_gone().await;
    let after = read_of(&world, "sagas_due").await;
    assert_eq!(world.told(due).await.saga.status, SagaStatus::Completed);
    assert_eq!(after.whole, before.whole, "no statement of the engine read the whole table");
    // From flow to flow, and back to the first: no more for how many sagas there are.
    assert!(after.scans - before.scans <= 6, "{before:?} {after:?}");
    // The 100 that wait are live, and not read.
    assert!(after.entries - before.entries <= 8, "{before:?} {after:?}");
}

#[tokio::test]
async fn pages_are_found_through_their_indexes() {
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
        world.all_gone().await;
        let before = read_of(&world, index).await;
        let connection = world.db.connect().await;
        let middle =
            Cursor { at: runtime::clock::now() - chrono::TimeDelta::seconds(100), id: "~".to_owned() };
        for after in [Cursor::start(), middle] {
            saga::page(&connection, &scope, &filter, Limit::default(), &after).await.unwrap();
        }
        drop(connection);
        world.all_gone().await;
        let after = read_of(&world, index).await;
        assert_eq!(after.whole, before.whole, "{index} {filter:?}");
        assert!(after.scans >= before.scans + 2, "{index} {filter:?}: {before:?} {after:?}");
        assert!(after.entries - before.entries <= most * 2, "{index} {filter:?}: {before:?} {after:?}");
    }
}

#[tokio::test]
async fn steps_that_wait_for_a_job_are_found_through_their_index() {
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
    world.all_gone().await;
    let whole = "SELECT seq_scan AS number FROM pg_stat_user_tables WHERE relname = 'saga_steps'";
    let (before, whole_before) = (read_of(&world, "saga_steps_job").await, world.number(whole).await);
    let connection = world.db.connect().await;
    saga::job_ended(&connection, job).await.unwrap();
    assert_eq!(saga::awaited_jobs(&connection).await.unwrap().len(), 100);
    drop(connection);
    world.all_gone().await;
    let after = read_of(&world, "saga_steps_job").await;
    assert_eq!((after.whole, world.number(whole).await), (before.whole, whole_before));
    assert!(after.scans > before.scans, "{before:?} {after:?}");
    assert!(after.entries - before.entries <= 2, "{before:?} {after:?}");
    let due = "SELECT count(*) AS number FROM sagas JOIN saga_steps ON saga_id = id \
         WHERE sagas.next_run_at <= now() AND next_attempt_at <= now()";
    assert_eq!(world.number(due).await, 1);
}
