//! A database with sagas and the effects of their steps, and engines on it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use database::{Database, DatabaseSettings, Db, Migrations, Record};
use diesel::{QueryableByName, sql_query, sql_types as t};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use domain::{Error, Kind, Result};
use identity::{Ctx, WriteCtx};
use runtime::{config::Secret, shutdown::Shutdown};
use saga::{
    Cause, Definition, Engine, EngineSettings, Hooks, NewSaga, OnFailure, SagaStatus, StepStatus, Told,
};
use service::{Application, Service, Settings};
use testkit::TestDb;
use tokio::{sync::Notify, time::Instant};
use utoipa::openapi::{OpenApi, OpenApiBuilder};
use uuid::Uuid;

use crate::steps::{App, POLICY, Script, definition};

/// A service that is but its database.
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
        anyhow::bail!("it has nothing to serve")
    }
}

/// Kinds that every engine here knows unless it is told otherwise.
pub(crate) const UNDO: &str = "undo-on-failure";
pub(crate) const STOP: &str = "stop-on-failure";

pub(crate) struct World {
    pub(crate) db: TestDb,
    /// What requests, steps, and most engines use.
    pub(crate) pool: Db,
    pub(crate) script: Arc<Script>,
    pub(crate) wake: Arc<Notify>,
}

/// How an engine is set up.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) settings: EngineSettings,
    pub(crate) definitions: Vec<Definition<App>>,
    pub(crate) hooks: Hooks,
    /// Where a process with connections of its own finds the database; the others share those of the test, because
    /// to make a connection takes longer than most tests.
    pub(crate) own_connections: Option<String>,
    /// How many of its own it has.
    pub(crate) connections: usize,
}

/// A lease that no test waits for.
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

    /// The same, where the clock of the database differs from those of the processes.
    pub(crate) async fn with_skewed_database(by: &str) -> Self {
        let Self { db, .. } = Self::new().await;
        db.skew_clock(by).await;
        Self::on(db)
    }

    fn on(db: TestDb) -> Self {
        let pool = pool("sagas", &db.app_url, 6);
        Self { db, pool, script: Arc::default(), wake: Arc::default() }
    }

    /// An engine as in a process of its own.
    pub(crate) fn engine(&self, set: impl FnOnce(&mut Setup)) -> Engine<App> {
        let mut setup = Setup::default();
        set(&mut setup);
        let (db, of_steps) = match &setup.own_connections {
            Some(url) => (pool("engine", url, setup.connections), pool("sagas", &self.db.app_url, 6)),
            None => (self.pool.clone(), self.pool.clone()),
        };
        let app = App { name: setup.name, db: of_steps, script: Arc::clone(&self.script) };
        let wake = Arc::clone(&self.wake);
        Engine::interposed(db, app, setup.settings, wake, setup.definitions, setup.hooks)
    }

    /// Records a saga; no one is told.
    pub(crate) async fn begin(&self, kind: &'static str) -> Uuid {
        let id = domain::id::uuid_v7();
        self.try_begin(kind, id, None, "flow").await.unwrap();
        id
    }

    pub(crate) async fn begin_of(&self, kind: &'static str, flow: &str) -> Uuid {
        let id = domain::id::uuid_v7();
        self.try_begin(kind, id, None, flow).await.unwrap();
        id
    }

    pub(crate) async fn begin_until(&self, kind: &'static str, deadline: DateTime<Utc>) -> Uuid {
        let id = domain::id::uuid_v7();
        self.try_begin(kind, id, Some(deadline), "flow").await.unwrap();
        id
    }

    /// As services do it.
    pub(crate) async fn try_begin(
        &self,
        kind: &'static str,
        id: Uuid,
        deadline: Option<DateTime<Utc>>,
        flow: &str,
    ) -> Result<()> {
        let ctx = WriteCtx::for_service("sagas", "request");
        let definition = definition(kind, OnFailure::Undo, POLICY);
        let done = self.pool.tx("saga.begin", &ctx, async |tx| {
            let new = NewSaga {
                id,
                subject: "subject".to_owned(),
                input: serde_json::json!({}),
                deadline,
                flow: flow.to_owned(),
            };
            let (saga, steps) = new.rows(&definition, &ctx);
            let taken =
                |name: &str| (name == saga::ID_TAKEN).then(|| Error::new(Kind::AlreadyExists, "taken"));
            tx.finish((saga::insert(saga), saga::insert_steps(steps)), Record::default(), (), taken).await
        });
        done.await.map(drop)
    }

    pub(crate) async fn told(&self, id: Uuid) -> Told {
        saga::by_id(&self.pool.service_conn().await.unwrap(), "saga", id).await.unwrap()
    }

    pub(crate) async fn ask_undo(&self, id: Uuid) -> bool {
        saga::ask_undo(&self.pool.service_conn().await.unwrap(), id, "someone changed their mind")
            .await
            .unwrap()
    }

    pub(crate) async fn retry(&self, id: Uuid) -> bool {
        saga::retry(&self.pool.service_conn().await.unwrap(), id).await.unwrap()
    }

    /// Has a saga be due that waits.
    pub(crate) async fn resume_now(&self, id: Uuid) -> bool {
        let due = sql_query("UPDATE sagas SET next_run_at = now() WHERE id = $1").bind::<t::Uuid, _>(id);
        due.execute(&mut *self.pool.service_conn().await.unwrap()).await.unwrap() == 1
    }

    /// Has the engine run until the saga is at rest.
    pub(crate) async fn settle(&self, engine: &Engine<App>, id: Uuid) -> Told {
        let patience = Instant::now() + PATIENCE;
        loop {
            let told = self.told(id).await;
            if !told.saga.status.is_in_progress() {
                return told;
            }
            assert!(Instant::now() < patience, "still at it: {told:?}");
            if !engine.turn().await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until the saga is at rest, which a started engine sees to.
    pub(crate) async fn at_rest(&self, id: Uuid) -> Told {
        self.until(id, |told| !told.saga.status.is_in_progress()).await
    }

    /// Waits until the saga is as wanted.
    pub(crate) async fn until(&self, id: Uuid, wanted: impl Fn(&Told) -> bool) -> Told {
        let patience = Instant::now() + PATIENCE;
        loop {
            let told = self.told(id).await;
            if wanted(&told) {
                return told;
            }
            assert!(Instant::now() < patience, "not as wanted: {told:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The steps of a saga whose effects are there.
    pub(crate) async fn effects(&self, id: Uuid) -> Vec<String> {
        self.texts(&format!("SELECT step AS text FROM effects WHERE saga_id = '{id}' ORDER BY step")).await
    }

    /// What was called, in order, such as `run a`.
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

    /// What the database counts is certain when the connections that it is about have gone. Those of the test itself stay.
    pub(crate) async fn all_gone(&self) {
        let others = "SELECT count(*) AS number FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name <> 'sagas' AND backend_type = 'client backend'";
        let patience = Instant::now() + PATIENCE;
        while self.number(others).await > 0 {
            assert!(Instant::now() < patience, "connections stay");
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

    /// Completed, with every effect once.
    #[track_caller]
    pub(crate) fn assert_completed(&self, told: &Told) -> impl Future<Output = ()> {
        assert_eq!(told.saga.status, SagaStatus::Completed, "{told:?}");
        assert_eq!((&told.saga.error, told.saga.cause), (&None, None));
        assert_at_rest(told);
        assert_eq!(statuses(told), [StepStatus::Completed; 3]);
        assert!(
            told.steps.iter().all(|step| step.completed_at.is_some() && step.error.is_none()),
            "{told:?}"
        );
        self.assert_effects(told.saga.id, &["a", "b", "c"])
    }

    /// Undone, with no effect left, for this reason.
    #[track_caller]
    pub(crate) fn assert_undone(&self, told: &Told, cause: Cause) -> impl Future<Output = ()> {
        assert_eq!((told.saga.status, told.saga.cause), (SagaStatus::Undone, Some(cause)), "{told:?}");
        assert!(told.saga.error.is_some());
        assert_at_rest(told);
        let over = |status: &StepStatus| matches!(status, StepStatus::Compensated | StepStatus::Skipped);
        assert!(statuses(told).iter().all(over), "{told:?}");
        self.assert_effects(told.saga.id, &[])
    }

    async fn assert_effects(&self, id: Uuid, expected: &[&str]) {
        assert_eq!(self.effects(id).await, expected, "effects of {id}");
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn assert_at_rest(told: &Told) {
    assert!(told.saga.finished_at.is_some() && told.saga.started_at.is_some(), "{told:?}");
    assert_eq!((&told.saga.lease_owner, told.saga.lease_until), (&None, None), "{told:?}");
    assert!(
        told.steps.iter().all(|step| step.next_attempt_at.is_none() && step.waiting_for.is_none()),
        "{told:?}"
    );
}

pub(crate) fn statuses(told: &Told) -> Vec<StepStatus> {
    told.steps.iter().map(|step| step.status).collect()
}

pub(crate) fn attempts(told: &Told) -> Vec<i32> {
    told.steps.iter().map(|step| step.attempts).collect()
}

pub(crate) fn undo_attempts(told: &Told) -> Vec<i32> {
    told.steps.iter().map(|step| step.undo_attempts).collect()
}

/// A name for a kind of saga that lives as long as the test.
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
