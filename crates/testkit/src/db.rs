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
/// Key of the advisory lock that a test holds while it prepares a template.
const TEMPLATE_LOCK: i64 = 0x6e6e_6f74;

/// A migrated database for one test. Dropping the value drops the database.
#[derive(Debug)]
pub struct TestDb {
    superuser: Url,
    name: String,
    /// URL for the role that owns the tables.
    pub owner_url: String,
    /// URL for the role of the running service.
    pub app_url: String,
}

impl TestDb {
    /// Creates a database of the service `S`.
    pub async fn of<S: Service>() -> Self {
        let superuser = superuser();
        let template = template::<S>(&superuser).await;
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        // Cloning fails while another test clones the same template, so try again.
        for wait in 1..=50 {
            let result = execute(
                &superuser,
                &format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"),
            )
            .await;
            match result {
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

    /// Connects as the role of the running service, with access to all rows.
    pub async fn connect(&self) -> AsyncPgConnection {
        let mut connection = self.connect_without_rls_context().await;
        connection.batch_execute("SET nno.platforms TO '*'").await.expect("set the RLS context");
        connection
    }

    /// Like [`Self::connect`], without an RLS context. Row-level security hides all rows.
    pub async fn connect_without_rls_context(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.app_url).await.expect("connect as the role of the service")
    }

    /// Connects as the role that owns the tables.
    pub async fn connect_as_owner(&self) -> AsyncPgConnection {
        AsyncPgConnection::establish(&self.owner_url).await.expect("connect as the owner")
    }

    /// Connects as the cluster's superuser, for statements that no role of a service may run.
    pub async fn connect_as_superuser(&self) -> AsyncPgConnection {
        let mut url = self.superuser.clone();
        url.set_path(&self.name);
        AsyncPgConnection::establish(url.as_str()).await.expect("connect as superuser")
    }

    /// Sets a PostgreSQL parameter for all new connections to the database.
    pub async fn set(&self, setting: &str, value: &str) {
        let sql = format!("ALTER DATABASE {} SET {setting} = '{value}'", self.name);
        execute(&self.superuser, &sql).await.expect("set the parameter");
    }

    /// Skews the clock of the database, for example by `-1 hour`, for all new connections.
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

    /// Terminates all connections to the database, as a network failure would.
    pub async fn cut_connections(&self) {
        let sql =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        execute(&self.superuser, &sql).await.expect("terminate the connections");
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (superuser, name) = (self.superuser.clone(), self.name.clone());
        // The runtime of the test may be shutting down.
        let dropped = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            // A failure does no harm: the cluster is temporary.
            let _ = runtime.block_on(execute(&superuser, &sql));
        });
        PENDING_DROPS.with_borrow_mut(|all| all.0.push(dropped));
    }
}

thread_local! {
    static PENDING_DROPS: RefCell<PendingDrops> = const { RefCell::new(PendingDrops(Vec::new())) };
}

/// Threads that drop databases. The thread of the test joins them when it ends, after its runtime has shut down.
/// PostgreSQL does not drop a database while a client is logging in. Joining earlier would block the runtime of such a
/// client, until the login times out after a minute.
struct PendingDrops(Vec<JoinHandle<()>>);

impl Drop for PendingDrops {
    fn drop(&mut self) {
        for dropped in self.0.drain(..) {
            let _ = dropped.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the wrapper of the test run sets this variable")]
fn superuser() -> Url {
    let url = std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
        panic!(
            "{URL_VARIABLE} is not set. Run the tests with scripts/test, or wrap them in the test-postgres binary."
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

/// Returns the name of the migrated template of `S`. The first test that needs it creates it.
async fn template<S: Service>(superuser: &Url) -> String {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Bool)]
        found: bool,
    }
    let template = format!("tmpl_{}_{}", S::NAME.replace('-', "_"), digest(S::NAME));
    let mut connection =
        AsyncPgConnection::establish(superuser.as_str()).await.expect("connect as superuser");
    connection.batch_execute(&format!("SELECT pg_advisory_lock({TEMPLATE_LOCK})")).await.expect("lock");
    let found = format!("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = '{template}') AS found");
    let found: Found = sql_query(found).get_result(&mut connection).await.expect("find the template");
    if !found.found {
        prepare(superuser, &template, &role_prefix(S::NAME), S::migrations()).await;
    }
    // Closing the connection releases the lock.
    template
}

async fn prepare(superuser: &Url, template: &str, role: &str, migrations: Migrations) {
    // The template has a different name until it is complete, in case the test run is killed here.
    let building = format!("{template}_building");
    execute(superuser, &format!("DROP DATABASE IF EXISTS {building} WITH (FORCE)"))
        .await
        .expect("drop an incomplete template");
    let database = ServiceDatabase {
        name: building.clone(),
        owner: format!("{role}_owner"),
        owner_password: SecretString::from(PASSWORD),
        app: format!("{role}_app"),
        app_password: SecretString::from(PASSWORD),
    };
    let secret = SecretString::from(superuser.as_str());
    embedded_postgres::ensure_service_database(&secret, &database).await.expect("create the template");
    let owner = url_of(superuser, &database.owner, &building);
    // Migrations block, which only a multi-threaded runtime allows.
    let migrated = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(migrate::run(&owner, migrations))
    });
    migrated.join().expect("the migrations ran").expect("migrate the template");
    execute(superuser, &format!("ALTER DATABASE {building} RENAME TO {template}"))
        .await
        .expect("rename the template");
}

/// Returns a digest of all migrations of the service and its libraries. A changed migration results in a new template.
fn digest(service: &str) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut digest = Sha256::new();
    for owner in ["database", "saga", service] {
        let folder = crates.join(owner).join("migrations");
        // A service that exists only in tests has no folder.
        if owner == service && !folder.exists() {
            continue;
        }
        let migrations = fs::read_dir(folder).expect("a folder of migrations");
        let mut folders: Vec<_> = migrations.flatten().collect();
        folders.sort_by_key(fs::DirEntry::file_name);
        for folder in folders {
            digest.update(fs::read(folder.path().join("up.sql")).unwrap_or_default());
        }
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
