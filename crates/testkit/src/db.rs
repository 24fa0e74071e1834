//! A database per test, cloned from a template.

use std::{cell::RefCell, fs, path::Path, thread::JoinHandle, time::Duration};

use database::{Migrations, migrate};
use diesel::{QueryableByName, sql_query, sql_types::Bool};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use embedded_postgres::ServiceDatabase;
use secrecy::SecretString;
use service::Service;
use sha2::{Digest, Sha256};
use url::Url;

const URL_VARIABLE: &str = "NNO_TEST_POSTGRES_URL";
const PASSWORD: &str = "test";
/// Whoever prepares a template holds this lock.
const LOCK: i64 = 0x6e6e_6f74;

/// A migrated database of one test, dropped with it.
#[derive(Debug)]
pub struct TestDb {
    superuser: Url,
    name: String,
    /// For the role that owns the tables.
    pub owner_url: String,
    /// For the role that serves.
    pub app_url: String,
}

impl TestDb {
    /// A fresh database of the service `S`.
    pub async fn of<S: Service>() -> Self {
        let superuser = superuser();
        let template = template::<S>(&superuser).await;
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        // Cloning fails while another clone of the template is being made; that passes.
        for wait in 1..=50 {
            let made = execute(
                &superuser,
                &format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"),
            )
            .await;
            match made {
                Ok(()) => break,
                Err(error) if wait == 50 => panic!("cannot clone {template}: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20 * wait)).await,
            }
        }
        let role = role_prefix(S::NAME);
        Self {
            owner_url: url_of(&superuser, &format!("{role}_owner"), &name),
            app_url: url_of(&superuser, &format!("{role}_app"), &name),
            superuser,
            name,
        }
    }

    /// A connection of the role that serves, which sees all rows.
    pub async fn connect(&self) -> AsyncPgConnection {
        let mut connection = self.connect_unseeing().await;
        connection.batch_execute("SET nno.platforms TO '*'").await.expect("see all");
        connection
    }

    /// The same, told nothing of who sees what: so it sees nothing.
    pub async fn connect_unseeing(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.app_url).await.expect("connect as the serving role")
    }

    /// A connection of the role that owns the tables.
    pub async fn connect_as_owner(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.owner_url).await.expect("connect as the owner")
    }

    /// A connection of the cluster's superuser, for what no role of a service may do.
    pub async fn connect_as_superuser(&self) -> AsyncPgConnection {
        let mut url = self.superuser.clone();
        url.set_path(&self.name);
        AsyncPgConnection::establish(url.as_str()).await.expect("connect as superuser")
    }

    /// Has every connection that is made from now on begin with a setting, whoever makes it.
    pub async fn set(&self, setting: &str, value: &str) {
        let sql = format!("ALTER DATABASE {} SET {setting} = '{value}'", self.name);
        execute(&self.superuser, &sql).await.expect("set for the database");
    }

    /// Has the clock of the database differ from that of this machine, such as by `-1 hour`, for every connection that is
    /// made from now on.
    pub async fn skew_clock(&self, by: &str) {
        let sql = format!(
            "CREATE SCHEMA skewed; \
             CREATE FUNCTION skewed.now() RETURNS timestamptz LANGUAGE sql STABLE \
                 AS $$ SELECT pg_catalog.now() + interval '{by}' $$; \
             GRANT USAGE ON SCHEMA skewed TO PUBLIC; \
             ALTER DATABASE {} SET search_path = skewed, pg_catalog, public",
            self.name
        );
        self.connect_as_superuser().await.batch_execute(&sql).await.expect("skew the clock");
    }

    /// Cuts every connection to the database, as a failing network would.
    pub async fn cut_connections(&self) {
        let sql =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        execute(&self.superuser, &sql).await.expect("cut connections");
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (superuser, name) = (self.superuser.clone(), self.name.clone());
        // The test's own runtime may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            // It is gone with the cluster in any case.
            let _ = runtime.block_on(execute(&superuser, &sql));
        });
        BEING_DROPPED.with_borrow_mut(|all| all.0.push(dropped));
    }
}

thread_local! {
    static BEING_DROPPED: RefCell<BeingDropped> = const { RefCell::new(BeingDropped(Vec::new())) };
}

/// Databases that are being dropped: the test's thread waits for them when it ends, its runtime gone before. Postgres
/// drops nothing as long as somebody is about to log in, and who is, in the test's own runtime, would be kept from it
/// by the waiting: a minute long, when logging in times out.
struct BeingDropped(Vec<JoinHandle<()>>);

impl Drop for BeingDropped {
    fn drop(&mut self) {
        for dropped in self.0.drain(..) {
            let _ = dropped.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the wrapper of the test run says where the cluster is")]
fn superuser() -> Url {
    let url = std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{URL_VARIABLE} is not set: run tests with scripts/test, or wrap them in the test-postgres binary"
        )
    });
    Url::parse(&url).expect("a URL of a superuser")
}

fn role_prefix(service: &str) -> String {
    format!("nno_test_{}", service.replace('-', "_"))
}

fn url_of(superuser: &Url, role: &str, database: &str) -> String {
    let mut url = superuser.clone();
    url.set_username(role).expect("a user name");
    url.set_password(Some(PASSWORD)).expect("a password");
    url.set_path(database);
    url.into()
}

async fn execute(url: &Url, sql: &str) -> Result<(), String> {
    let mut connection =
        AsyncPgConnection::establish(url.as_str()).await.map_err(|error| error.to_string())?;
    connection.batch_execute(sql).await.map_err(|error| error.to_string())
}

/// The name of the migrated template of `S`, made if this is the first test that needs it.
async fn template<S: Service>(superuser: &Url) -> String {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Bool)]
        found: bool,
    }
    let template = format!("tmpl_{}_{}", S::NAME.replace('-', "_"), digest(S::NAME));
    let mut connection =
        AsyncPgConnection::establish(superuser.as_str()).await.expect("connect as superuser");
    connection.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).await.expect("lock");
    let found = format!("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = '{template}') AS found");
    let found: Found = sql_query(found).get_result(&mut connection).await.expect("look for the template");
    if !found.found {
        prepare(superuser, &template, &role_prefix(S::NAME), S::migrations()).await;
    }
    // The lock goes with the connection.
    template
}

async fn prepare(superuser: &Url, template: &str, role: &str, migrations: Migrations) {
    // Under another name until it is whole: a test run that is killed here leaves no half template.
    let building = format!("{template}_building");
    execute(superuser, &format!("DROP DATABASE IF EXISTS {building} WITH (FORCE)"))
        .await
        .expect("drop a half template");
    let database = ServiceDatabase {
        name: building.clone(),
        owner: format!("{role}_owner"),
        owner_password: SecretString::from(PASSWORD),
        app: format!("{role}_app"),
        app_password: SecretString::from(PASSWORD),
    };
    let secret = SecretString::from(superuser.as_str());
    embedded_postgres::ensure_service_database(&secret, &database).await.expect("make the template");
    let owner = url_of(superuser, &database.owner, &building);
    // Migrations block, which only a runtime of many threads allows.
    let migrated = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(migrate::run(&owner, migrations))
    });
    migrated.join().expect("the migrations ran").expect("migrate the template");
    execute(superuser, &format!("ALTER DATABASE {building} RENAME TO {template}"))
        .await
        .expect("name the template");
}

/// Of every migration of kit and the service, so that a changed one makes a new template.
fn digest(service: &str) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut digest = Sha256::new();
    for owner in ["kit", "saga", service] {
        let mut folders: Vec<_> =
            fs::read_dir(crates.join(owner).join("migrations")).into_iter().flatten().flatten().collect();
        folders.sort_by_key(fs::DirEntry::file_name);
        for folder in folders {
            digest.update(fs::read(folder.path().join("up.sql")).unwrap_or_default());
        }
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
