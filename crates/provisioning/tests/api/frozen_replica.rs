//! Two replica processes on one database. One is frozen during a step until its lease has expired, and then resumed.

use std::{
    fs::File,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::RunQueryDsl;
use fake_provider::{Action, Calls, FakeProvider, FakeProvisioning, Operation, Rule, Stage};
use identity::Caller;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use provisioning::{
    ProvisioningSettings,
    providers::{Clock, ResourceKind},
};
use reqwest::Method;
use runtime::{config, shutdown::Shutdown, telemetry::Telemetry};
use serde_json::{Value, json};
use service::{Service as _, Settings};
use tempfile::TempDir;
use testkit::{ReservedPort, Response, TestDb};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
    time::{Instant, sleep},
};
use url::Url;

use crate::system::RegistrySystem;

/// Maximum delay by a dead or frozen replica.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(15);

/// Proxy between a replica and the database that can hold back the data of the replica.
struct Proxy {
    url: String,
    held: watch::Sender<bool>,
    /// Data that was held back.
    delayed: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    async fn to(url: &str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let database = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let proxy = Self { url: url.into(), held: watch::Sender::new(false), delayed: Arc::default() };
        let (held, delayed) = (proxy.held.clone(), Arc::clone(&proxy.delayed));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&database).await.unwrap();
                tokio::spawn(relay(client, server, held.subscribe(), Arc::clone(&delayed)));
            }
        });
        proxy
    }

    fn has_delayed(&self, text: &str) -> bool {
        self.delayed.lock().unwrap().windows(text.len()).any(|part| part == text.as_bytes())
    }
}

async fn relay(
    client: TcpStream,
    server: TcpStream,
    mut held: watch::Receiver<bool>,
    delayed: Arc<Mutex<Vec<u8>>>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let upstream = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
            if *held.borrow() {
                delayed.lock().unwrap().extend_from_slice(&chunk[..read]);
            }
            let _ = held.wait_for(|held| !held).await;
            if to_server.write_all(&chunk[..read]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let downstream = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(upstream, downstream);
}

struct Replica {
    child: Child,
    http: u16,
    _held: ReservedPort,
}

impl Replica {
    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
    }
}

#[test]
#[ignore = "runs in the processes that the other tests of this module start"]
fn replica() {
    // Run manually with `cargo test -- --ignored`.
    if std::env::var_os("NNO__DATABASE__URL").is_none() {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let settings: Settings<ProvisioningSettings> =
            config::load(FakeProvisioning::DEFAULTS, None).unwrap();
        // The tests read its log.
        let _telemetry = Telemetry::start(FakeProvisioning::NAME, &settings.telemetry).unwrap();
        let shutdown = Shutdown::new();
        shutdown.on_signal().unwrap();
        FakeProvisioning::build(settings, shutdown).await.unwrap().run().await.unwrap();
    });
}

/// A registry, and the database and provider that the replicas share.
struct Shared {
    registered: RegistrySystem,
    db: TestDb,
    provider: FakeProvider,
    folder: TempDir,
    client: reqwest::Client,
}

impl Shared {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let provider = FakeProvider::open(folder.path(), None, Clock::system()).unwrap();
        let (registered, db) = (RegistrySystem::start().await, TestDb::of::<FakeProvisioning>().await);
        Self { registered, db, provider, folder, client: testkit::client() }
    }

    /// Starts a replica with default settings that runs one job at a time.
    async fn replica(&self, name: &str, database: &str) -> Replica {
        let held = ReservedPort::new();
        let http = held.address.port();
        let log = File::create(self.folder.path().join(name)).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "frozen_replica::replica", "--ignored", "--nocapture"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
            .env("NNO__HTTP__BIND", format!("127.0.0.1:{http}"))
            .env("NNO__HTTP__WORKERS", "1")
            .env("NNO__GRPC__BIND", "127.0.0.1:0")
            .env("NNO__DATABASE__URL", database)
            .env("NNO__IDENTITY__KEYS_DIR", self.registered.registry.keys.dir())
            .env("NNO__SERVICE__DATA_DIR", self.folder.path())
            .env("NNO__SERVICE__REGISTRY__URL", format!("http://{}", self.registered.registry.grpc))
            .env("NNO__SERVICE__ENGINE__CONCURRENCY", "1");
        let replica = Replica { child: command.spawn().unwrap(), http, _held: held };
        eventually(&format!("{name} is ready"), async || {
            web::check_ready("127.0.0.1", replica.http, None).await.is_ok()
        })
        .await;
        replica
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    async fn ask(&self, replica: &Replica, method: Method, path: &str, body: &Value) -> Response {
        let signer = self.registered.registry.keys.signer("gateway");
        let token = signer.sign("provisioning", &Caller::operator()).unwrap();
        let url = format!("http://127.0.0.1:{}/api/v1/provision/{path}", replica.http);
        let request = self.client.request(method, url).bearer_auth(token).json(body);
        Response::read(request.send().await.unwrap()).await
    }

    /// Queues the provisioning of a new platform and returns the job id.
    async fn provision(&self, replica: &Replica, slug: &str) -> String {
        let body = json!({ "name": "Acme", "slug": slug });
        let platform = self.registered.registry.post("/api/v1/platforms", body).await.expect(201);
        let body = json!({ "platformId": platform["id"], "planTier": "starter", "billingEmail": "pay@acme.example" });
        let queued = self.ask(replica, Method::POST, "platform", &body).await.expect(202);
        queued["jobId"].as_str().unwrap().to_owned()
    }

    async fn completed(&self, replica: &Replica, job: &str) {
        eventually(&format!("{job} is done"), async || {
            let response = self.ask(replica, Method::GET, &format!("jobs/{job}"), &Value::Null).await;
            response.expect(200)["status"] == "COMPLETED"
        })
        .await;
    }

    /// Returns all rows of jobs and their steps.
    async fn rows(&self) -> Vec<String> {
        self.texts("SELECT to_jsonb(sagas)::text AS text FROM sagas UNION ALL SELECT to_jsonb(saga_steps)::text FROM saga_steps ORDER BY text").await
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            text: String,
        }
        let rows: Vec<Row> = sql_query(sql).load(&mut self.db.connect().await).await.unwrap();
        rows.into_iter().map(|row| row.text).collect()
    }
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn hangs() -> Rule {
    let hangs = Action::Hang { stage: Stage::BeforeEffect, duration: None };
    Rule::new(hangs).on(Operation::Ensure).kind(ResourceKind::D1)
}

#[tokio::test]
async fn replica_frozen_during_a_provider_call_is_fenced() {
    assert_fenced(false).await;
}

/// The replica is frozen while its write of the result is on its way to the database.
#[tokio::test]
async fn replica_frozen_during_a_write_is_fenced() {
    assert_fenced(true).await;
}

async fn assert_fenced(frozen_during_write: bool) {
    let shared = Shared::new().await;
    let proxy = Proxy::to(&shared.db.app_url).await;
    let first = shared.replica("first", &proxy.url).await;
    shared.provider.follow([hangs().calls(Calls::First(1))]).await.unwrap();
    let job = shared.provision(&first, "acme").await;
    eventually("the first replica runs the job", async || !shared.provider.calls().await.unwrap().is_empty())
        .await;
    if frozen_during_write {
        proxy.held.send_replace(true);
        shared.provider.follow([]).await.unwrap();
        eventually("the result is on its way", async || proxy.has_delayed("completed")).await;
    }
    first.send(Signal::SIGSTOP);
    let frozen = Instant::now();
    let second = shared.replica("second", &shared.db.app_url).await;
    shared.completed(&second, &job).await;
    assert!(frozen.elapsed() < TAKEN_OVER_WITHIN, "{:?}", frozen.elapsed());

    let written = shared.rows().await;
    proxy.held.send_replace(false);
    shared.provider.follow([]).await.unwrap();
    first.send(Signal::SIGCONT);
    eventually("the first replica notices the lost lease", async || {
        shared.log("first").contains("the lease of the saga was lost")
    })
    .await;
    assert_eq!(shared.rows().await, written, "the late write was not rejected");
    assert_eq!(shared.provider.live().await.unwrap().len(), 5);
    assert_eq!(shared.provider.recreated().await.unwrap(), [""; 0]);

    // Both replicas continue to work concurrently.
    shared.provider.follow([hangs()]).await.unwrap();
    let jobs = [shared.provision(&first, "next").await, shared.provision(&second, "other").await];
    eventually("each replica has a job", async || {
        let sql = "SELECT DISTINCT lease_owner AS text FROM sagas WHERE lease_owner IS NOT NULL";
        shared.texts(sql).await.len() == 2
    })
    .await;
    shared.provider.follow([]).await.unwrap();
    for job in &jobs {
        shared.completed(&first, job).await;
    }
    assert_eq!(shared.provider.recreated().await.unwrap(), [""; 0]);
}
