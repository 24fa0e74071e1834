//! A database for sagas and the effects of their steps, and engines that use it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use database::{Database, DatabaseSettings, Db, Migrations, Record};
use diesel::{QueryableByName, sql_query, sql_types as t};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use domain::{Error, Kind, Result};
use identity::{Ctx, WriteCtx};
use runtime::{config::Secret, shutdown::Shutdown};
use saga::{
    Cause, Definition, Engine, EngineSettings, Hooks, NewSaga, OnFailure, SagaStatus, SagaWithSteps,
    StepStatus,
};
use service::{Application, Service, Settings};
use testkit::TestDb;
use tokio::{sync::Notify, time::Instant};
use utoipa::openapi::{OpenApi, OpenApiBuilder};
use uuid::Uuid;

use crate::steps::{App, POLICY, Script, definition};

/// A service that only has a database.
pub(crate) struct Sagas;

impl Service for Sagas {
    const NAME: &'static str = "sagas";
    const DEFAULTS: &'static str = "";
    type Settings = String;

    fn migrations() -> Migrations {
        Migrations::with_shared([saga::MIGRATIONS])
    }

    fn grpc_callers() -> Vec<(&'static str, service::Callers)> {
        Vec::new()
    }

    fn openapi() -> OpenApi {
        OpenApiBuilder::new().build()
    }

    async fn build(_: Settings<Self::Settings>, _: Shutdown) -> anyhow::Result<Application> {
        anyhow::bail!("this service has no API")
    }
}

/// The kinds that every engine registers by default.
pub(crate) const UNDO: &str = "undo-on-failure";
pub(crate) const STOP: &str = "stop-on-failure";

pub(crate) struct World {
    pub(crate) db: TestDb,
    /// The pool of requests, steps and most engines.
    pub(crate) pool: Db,
    pub(crate) script: Arc<Script>,
    pub(crate) wake: Arc<Notify>,
}

/// The configuration of an engine.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) settings: EngineSettings,
    pub(crate) definitions: Vec<Definition<App>>,
    pub(crate) hooks: Hooks,
    /// The database URL of a process with its own pool. The others share the pool of the test, because connecting
    /// takes longer than most tests.
    pub(crate) own_connections: Option<String>,
    /// The size of its own pool.
    pub(crate) connections: usize,
}

/// A lease that does not expire during a test.
pub(crate) const LONG: Duration = Duration::from_secs(60);

impl Default for Setup {
    fn default() -> Self {
        let definitions =
            vec![definition(UNDO, OnFailure::Undo, POLICY), definition(STOP, OnFailure::Stop, POLICY)];
        let settings =
            EngineSettings { concurrency: 8, lease: LONG, poll: Duration::from_millis(20), alone: false };
        Self {
            name: "first",
            settings,
            definitions,
            hooks: Hooks::default(),
            own_connections: None,
            connections: 6,
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDb::of::<Sagas>().await;
        let tables = "CREATE TABLE effects (saga_id uuid, step text, PRIMARY KEY (saga_id, step)); \
             CREATE TABLE calls (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, saga_id uuid NOT NULL, \
                 call text NOT NULL, step text NOT NULL, by text NOT NULL, attempt integer NOT NULL)";
        db.connect_as_owner().await.batch_execute(tables).await.unwrap();
        Self::on(db)
    }

    /// Creates a world in which the clock of the database differs from those of the processes.
    pub(crate) async fn with_skewed_database(by: &str) -> Self {
        let Self { db, .. } = Self::new().await;
        db.skew_clock(by).await;
        Self::on(db)
    }

    fn on(db: TestDb) -> Self {
        let pool = pool("sagas", &db.app_url, 6);
        Self { db, pool, script: Arc::default(), wake: Arc::default() }
    }

    /// Creates an engine as a separate process would.
    pub(crate) fn engine(&self, set: impl FnOnce(&mut Setup)) -> Engine<App> {
        let mut setup = Setup::default();
        set(&mut setup);
        let (db, step_db) = match &setup.own_connections {
            Some(url) => (pool("engine", url, setup.connections), pool("sagas", &self.db.app_url, 6)),
            None => (self.pool.clone(), self.pool.clone()),
        };
        let app = App { name: setup.name, db: step_db, script: Arc::clone(&self.script) };
        let wake = Arc::clone(&self.wake);
        Engine::with_hooks(db, app, setup.settings, wake, setup.definitions, setup.hooks)
    }

    /// Inserts a saga without waking the engines.
    pub(crate) async fn begin(&self, kind: &'static str) -> Uuid {
        let id = domain::id::uuid_v7();
        self.try_begin(kind, id, None, "flow").await.unwrap();
        id
    }

    pub(crate) async fn begin_with_key(&self, kind: &'static str, fairness_key: &str) -> Uuid {
        let id = domain::id::uuid_v7();
        self.try_begin(kind, id, None, fairness_key).await.unwrap();
        id
    }

    pub(crate) async fn begin_with_deadline(&self, kind: &'static str, deadline: DateTime<Utc>) -> Uuid {
        let id = domain::id::uuid_v7();
        self.try_begin(kind, id, Some(deadline), "flow").await.unwrap();
        id
    }

    /// Inserts a saga in a transaction, as services do.
    pub(crate) async fn try_begin(
        &self,
        kind: &'static str,
        id: Uuid,
        deadline: Option<DateTime<Utc>>,
        fairness_key: &str,
    ) -> Result<()> {
        let ctx = WriteCtx::for_service("sagas", "request");
        let definition = definition(kind, OnFailure::Undo, POLICY);
        let done = self.pool.tx("saga.begin", &ctx, async |tx| {
            let new = NewSaga {
                id,
                subject: "subject".to_owned(),
                input: serde_json::json!({}),
                deadline,
                fairness_key: fairness_key.to_owned(),
            };
            let (saga, steps) = new.rows(&definition, &ctx);
            let taken =
                |name: &str| (name == saga::ID_TAKEN).then(|| Error::new(Kind::AlreadyExists, "taken"));
            tx.finish((saga::insert(saga), saga::insert_steps(steps)), Record::default(), (), taken).await
        });
        done.await.map(drop)
    }

    pub(crate) async fn load(&self, id: Uuid) -> SagaWithSteps {
        saga::by_id(&self.pool.service_conn().await.unwrap(), "saga", id).await.unwrap()
    }

    pub(crate) async fn request_undo(&self, id: Uuid) -> bool {
        saga::request_undo(&self.pool.service_conn().await.unwrap(), id, "someone changed their mind")
            .await
            .unwrap()
    }

    pub(crate) async fn retry(&self, id: Uuid) -> bool {
        saga::retry(&self.pool.service_conn().await.unwrap(), id).await.unwrap()
    }

    /// Makes a waiting saga due.
    pub(crate) async fn resume_now(&self, id: Uuid) -> bool {
        let due = sql_query("UPDATE sagas SET next_run_at = now() WHERE id = $1").bind::<t::Uuid, _>(id);
        due.execute(&mut *self.pool.service_conn().await.unwrap()).await.unwrap() == 1
    }

    /// Runs the engine until the saga has ended or is stuck.
    pub(crate) async fn settle(&self, engine: &Engine<App>, id: Uuid) -> SagaWithSteps {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let record = self.load(id).await;
            if !record.saga.status.is_in_progress() {
                return record;
            }
            assert!(Instant::now() < deadline, "the saga does not end: {record:?}");
            if !engine.run_once().await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until a started engine has brought the saga to its end.
    pub(crate) async fn wait_until_ended(&self, id: Uuid) -> SagaWithSteps {
        self.until(id, |record| !record.saga.status.is_in_progress()).await
    }

    /// Waits until the saga satisfies the condition.
    pub(crate) async fn until(&self, id: Uuid, condition: impl Fn(&SagaWithSteps) -> bool) -> SagaWithSteps {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let record = self.load(id).await;
            if condition(&record) {
                return record;
            }
            assert!(Instant::now() < deadline, "the condition is not met: {record:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The steps of a saga that have taken effect.
    pub(crate) async fn effects(&self, id: Uuid) -> Vec<String> {
        self.texts(&format!("SELECT step AS text FROM effects WHERE saga_id = '{id}' ORDER BY step")).await
    }

    /// The calls of steps in order, such as `run a`.
    pub(crate) async fn calls(&self, id: Uuid) -> Vec<String> {
        self.texts(&format!(
            "SELECT call || ' ' || step AS text FROM calls WHERE saga_id = '{id}' ORDER BY seq"
        ))
        .await
    }

    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = t::Text)]
            text: String,
        }
        let rows: Vec<Row> =
            sql_query(sql).load(&mut *self.pool.service_conn().await.unwrap()).await.unwrap();
        rows.into_iter().map(|row| row.text).collect()
    }

    /// Waits until all connections but those of the test are closed; the statistics of the database are complete then.
    pub(crate) async fn wait_for_disconnects(&self) {
        let others = "SELECT count(*) AS number FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name <> 'sagas' AND backend_type = 'client backend'";
        let deadline = Instant::now() + PATIENCE;
        while self.number(others).await > 0 {
            assert!(Instant::now() < deadline, "connections stay");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = t::BigInt)]
            number: i64,
        }
        let row: Row =
            sql_query(sql).get_result(&mut *self.pool.service_conn().await.unwrap()).await.unwrap();
        row.number
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.pool.service_conn().await.unwrap().batch_execute(sql).await.unwrap();
    }

    pub(crate) fn ctx(&self) -> Ctx {
        Ctx::for_service("sagas", "request")
    }

    /// Asserts that the saga is completed with every effect.
    #[track_caller]
    pub(crate) fn assert_completed(&self, record: &SagaWithSteps) -> impl Future<Output = ()> {
        assert_eq!(record.saga.status, SagaStatus::Completed, "{record:?}");
        assert_eq!((&record.saga.error, record.saga.cause), (&None, None));
        assert_released(record);
        assert_eq!(statuses(record), [StepStatus::Completed; 3]);
        assert!(
            record.steps.iter().all(|step| step.completed_at.is_some() && step.error.is_none()),
            "{record:?}"
        );
        self.assert_effects(record.saga.id, &["a", "b", "c"])
    }

    /// Asserts that the saga is undone for this cause, with no effect left.
    #[track_caller]
    pub(crate) fn assert_undone(&self, record: &SagaWithSteps, cause: Cause) -> impl Future<Output = ()> {
        assert_eq!((record.saga.status, record.saga.cause), (SagaStatus::Undone, Some(cause)), "{record:?}");
        assert!(record.saga.error.is_some());
        assert_released(record);
        let undone = |status: &StepStatus| matches!(status, StepStatus::Compensated | StepStatus::Skipped);
        assert!(statuses(record).iter().all(undone), "{record:?}");
        self.assert_effects(record.saga.id, &[])
    }

    async fn assert_effects(&self, id: Uuid, expected: &[&str]) {
        assert_eq!(self.effects(id).await, expected, "effects of {id}");
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn assert_released(record: &SagaWithSteps) {
    assert!(record.saga.finished_at.is_some() && record.saga.started_at.is_some(), "{record:?}");
    assert_eq!((&record.saga.lease_owner, record.saga.lease_until), (&None, None), "{record:?}");
    assert!(
        record.steps.iter().all(|step| step.next_attempt_at.is_none() && step.waiting_for.is_none()),
        "{record:?}"
    );
}

pub(crate) fn statuses(record: &SagaWithSteps) -> Vec<StepStatus> {
    record.steps.iter().map(|step| step.status).collect()
}

pub(crate) fn attempts(record: &SagaWithSteps) -> Vec<i32> {
    record.steps.iter().map(|step| step.attempts).collect()
}

pub(crate) fn undo_attempts(record: &SagaWithSteps) -> Vec<i32> {
    record.steps.iter().map(|step| step.undo_attempts).collect()
}

/// Leaks the name of a kind of saga, to get a static string.
pub(crate) fn kind(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

fn pool(service: &str, url: &str, connections: usize) -> Db {
    let settings = DatabaseSettings {
        url: Secret::new(url),
        owner_url: Secret::new(""),
        pool_per_worker: 1,
        pool_background: connections,
        acquire_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(10),
        lock_timeout: Duration::from_secs(2),
        recount_every: Duration::from_secs(3600),
    };
    Database::new(service, &settings).background().unwrap()
}
