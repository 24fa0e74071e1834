//! The stored form of [`WaitingFor`] and its migration.

use database::migrate;
use diesel_async::SimpleAsyncConnection;
use saga::WaitingFor;
use service::Service;
use uuid::Uuid;

use crate::world::{Sagas, UNDO, World};

const UP: &str = include_str!("../../migrations/20261130000200_saga_waiting_for/up.sql");
const DOWN: &str = include_str!("../../migrations/20261130000200_saga_waiting_for/down.sql");

fn causes() -> [WaitingFor; 7] {
    let (saga, job) = (domain::id::uuid_v7(), domain::id::uuid_v7());
    let stack = |job| WaitingFor::Stack { stack: "shop".to_owned(), status: "pending".to_owned(), job };
    [
        WaitingFor::Person,
        WaitingFor::Saga { noun: "job".into(), saga, works_on: "the feature 'a, b'".to_owned() },
        WaitingFor::Job { job, at: "dns (Not now: later)".to_owned() },
        WaitingFor::text("the other side"),
        stack(Some(job)),
        stack(None),
        WaitingFor::Resources { names: vec!["one".to_owned(), "two".to_owned()] },
    ]
}

#[test]
fn cause_is_displayed_as_a_sentence() {
    let id = Uuid::nil();
    let stack = WaitingFor::Stack { stack: "shop".to_owned(), status: "pending".to_owned(), job: Some(id) };
    let saga = WaitingFor::Saga { noun: "job".into(), saga: id, works_on: "the same stack".to_owned() };
    let job = WaitingFor::Job { job: id, at: "dns (later)".to_owned() };
    let resources = WaitingFor::Resources { names: vec!["one".to_owned(), "two".to_owned()] };
    for (cause, sentence) in [
        (WaitingFor::Person, "an operator: all attempts failed".to_owned()),
        (stack, format!("stack shop, which is pending (provisioning job {id})")),
        (saga, format!("job {id}, which works on the same stack")),
        (job, format!("provisioning job {id}: dns (later)")),
        (resources, "resources one, two".to_owned()),
    ] {
        assert_eq!(cause.to_string(), sentence);
    }
}

async fn set(world: &World, id: Uuid, cause: &WaitingFor) {
    let json = serde_json::to_string(cause).unwrap().replace('\'', "''");
    let sql = format!("UPDATE saga_steps SET waiting_for = '{json}' WHERE saga_id = '{id}' AND name = 'a'");
    world.execute(&sql).await;
}

async fn stored(world: &World, id: Uuid) -> WaitingFor {
    world.load(id).await.steps[0].waiting_for.clone().unwrap()
}

#[tokio::test]
async fn migration_converts_causes_to_sentences_and_back() {
    let world = World::new().await;
    let mut rows = Vec::new();
    for cause in causes() {
        let id = world.begin(UNDO).await;
        set(&world, id, &cause).await;
        assert_eq!(stored(&world, id).await, cause, "the stored cause is read back");
        rows.push((id, cause));
    }
    let mut owner = world.db.connect_as_owner().await;
    owner.batch_execute(DOWN).await.unwrap();
    for (id, cause) in &rows {
        let sql = format!("SELECT waiting_for AS text FROM saga_steps WHERE saga_id = '{id}' AND name = 'a'");
        // Versions before the migration identify this cause by its text.
        let sentence = match cause {
            WaitingFor::Person => "a person: its tries are used up".to_owned(),
            cause => cause.to_string(),
        };
        assert_eq!(world.texts(&sql).await, [sentence]);
    }
    let idle = "SELECT count(*) AS number FROM saga_steps WHERE waiting_for IS NULL";
    assert_eq!(world.number(idle).await, 14, "other steps wait for nothing");
    owner.batch_execute(UP).await.unwrap();
    for (id, cause) in rows {
        // The migration parses the sentences of all other causes.
        let expected = match cause {
            WaitingFor::Stack { .. } | WaitingFor::Resources { .. } => WaitingFor::text(cause.to_string()),
            cause => cause,
        };
        assert_eq!(stored(&world, id).await, expected);
    }
    assert_eq!(world.number(idle).await, 14);
}

#[tokio::test]
async fn cause_of_a_newer_version_is_read_as_text() {
    let world = World::new().await;
    let id = world.begin(UNDO).await;
    world.execute(r#"UPDATE saga_steps SET waiting_for = '{"kind": "moon"}' WHERE name = 'a'"#).await;
    assert!(stored(&world, id).await.to_string().contains("moon"));
}

/// The columns, indexes, triggers and functions of the schema, in a stable order.
const SCHEMA: &str = "SELECT format('%s.%s %s %s', table_name, column_name, data_type, is_nullable) AS text \
        FROM information_schema.columns WHERE table_schema = 'public' \
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
    UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1";

#[tokio::test(flavor = "multi_thread")]
async fn reverting_and_rerunning_migrations_restores_the_schema() {
    let world = World::new().await;
    let mut owner = world.db.connect_as_owner().await;
    owner.batch_execute("DROP TABLE effects, calls").await.unwrap();
    let before = world.texts(SCHEMA).await;
    assert!(before.iter().any(|line| line.contains("saga_steps_job")), "{before:?}");
    migrate::revert_all(&world.db.owner_url, Sagas::migrations()).await.unwrap();
    let left = world.texts(SCHEMA).await;
    assert_eq!(left.iter().find(|line| !line.contains("__diesel_schema_migrations")), None);
    migrate::run(&world.db.owner_url, Sagas::migrations()).await.unwrap();
    assert_eq!(world.texts(SCHEMA).await, before);
}
