//! The system under test, with helpers that start sagas and check their effects.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use ::saga::{SagaStatus, schema::sagas};
use diesel::{QueryDsl, QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use provisioning::providers::{Owner, Provider, ResourceKind, Target};
use reqwest::Method;
use rpc::{
    PeerCall,
    provisioning::{EnsureRepositoryRequest, provisioning_client::ProvisioningClient},
};
use serde_json::{Value, json};
use testkit::{Response, TestService};
use tokio::{
    sync::{Mutex, watch},
    time::sleep,
};
use uuid::Uuid;

use super::{
    Matrix, ONBOARDING,
    failures::{cancel, connection, service},
    run::Run,
};
use crate::system::System;

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Engine settings with a lease that does not expire on a busy machine.
fn engine() -> Value {
    json!({ "concurrency": 32, "lease": "2s", "poll": "50ms" })
}

type Statuses = HashMap<Uuid, SagaStatus>;

#[derive(Clone)]
pub(crate) struct Harness {
    pub(crate) system: Arc<System>,
    pub(crate) matrix: Arc<Matrix>,
    statuses: watch::Receiver<Statuses>,
    registry: Arc<Mutex<AsyncPgConnection>>,
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    text: String,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let matrix = Arc::<Matrix>::default();
        let fault_injector = || Some(matrix.fault_injector());
        let system = Arc::new(System::start_with(fault_injector(), fault_injector(), engine()).await);
        matrix.injector.attach(&system);
        let (publish, statuses) = watch::channel(Statuses::new());
        tokio::spawn(watch_statuses(Arc::downgrade(&system), publish));
        let registry = Arc::new(Mutex::new(system.registry.db.connect().await));
        super::stacks::publish(&system).await;
        Self { system, matrix, statuses, registry }
    }

    /// Sends a request until the service responds without a server error, because the tests drop its connections.
    async fn send(&self, service: &TestService, method: Method, path: &str, body: Value) -> Response {
        let key = Uuid::new_v4().to_string();
        loop {
            let mut request = service.request(method.clone(), path);
            if method != Method::GET {
                request = request.header("Idempotency-Key", &key).json(&body);
            }
            if let Ok(response) = request.send().await
                && !response.status().is_server_error()
            {
                return Response::read(response).await;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a request to the registry.
    pub(crate) async fn request(&self, method: Method, path: &str, body: Value) -> Response {
        self.send(&self.system.registry, method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path, Value::Null).await
    }

    /// Starts an onboarding and returns its id.
    pub(crate) async fn start_onboarding(&self, slug: &str) -> Uuid {
        let body = json!({ "platformName": "Acme", "slug": slug, "tier": "starter" });
        let started = self.send(&self.system.onboarding, Method::POST, "/api/v1/onboarding", body).await;
        started.expect(201)["onboardingId"].as_str().unwrap().parse().unwrap()
    }

    /// Creates a platform with its infrastructure and repository, like an onboarding.
    pub(crate) async fn provisioned(&self, slug: &str) -> String {
        let platform = self.platform(slug).await;
        let job = self.enqueue_job("platform", infrastructure(&platform)).await;
        self.wait_until_completed(job).await;
        let peer = self.system.provisioning.peer("onboarding");
        let ctx = self.system.provisioning.ctx("onboarding");
        loop {
            let message = EnsureRepositoryRequest {
                platform_id: platform.clone(),
                platform_name: "Acme".to_owned(),
                platform_slug: slug.to_owned(),
            };
            let request = peer.request(&ctx, PeerCall::default(), message).unwrap();
            if ProvisioningClient::new(peer.channel()).ensure_repository(request).await.is_ok() {
                return platform;
            }
        }
    }

    /// Returns the platform of an onboarding.
    pub(crate) async fn platform_of(&self, onboarding: Uuid) -> String {
        let path = format!("/api/v1/onboarding/{onboarding}");
        let onboarding =
            self.send(&self.system.onboarding, Method::GET, &path, Value::Null).await.expect(200);
        onboarding["platformId"].as_str().unwrap().to_owned()
    }

    /// Enqueues a provisioning job and returns its id.
    pub(crate) async fn enqueue_job(&self, path: &str, body: Value) -> Uuid {
        let path = format!("/api/v1/provision/{path}");
        let queued = self.send(&self.system.provisioning, Method::POST, &path, body).await.expect(202);
        queued["jobId"].as_str().unwrap().parse().unwrap()
    }

    /// Creates an object in the registry and returns its id.
    pub(crate) async fn create(&self, path: &str, body: Value) -> String {
        let created = self.request(Method::POST, path, body).await.expect(201);
        created["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn platform(&self, slug: &str) -> String {
        self.create("/api/v1/platforms", json!({ "name": "Acme", "slug": slug })).await
    }

    /// Creates a platform with a tenant.
    pub(crate) async fn tenant(&self, slug: &str) -> (String, String) {
        let platform = self.platform(slug).await;
        let tenant = json!({ "name": "Tenant", "slug": "t", "type": "tenant" });
        let tenant = self.create(&format!("/api/v1/platforms/{platform}/entities"), tenant).await;
        (platform, tenant)
    }

    /// Waits until the saga has one of these statuses.
    async fn wait_for_status(&self, id: Uuid, expected: &[SagaStatus]) -> SagaStatus {
        let mut statuses = self.statuses.clone();
        let is = |all: &Statuses| all.get(&id).is_some_and(|status| expected.contains(status));
        statuses.wait_for(is).await.unwrap()[&id]
    }

    pub(crate) async fn wait_until_completed(&self, job: Uuid) {
        self.wait_for_status(job, &[SagaStatus::Completed]).await;
    }

    /// Waits until the run's saga has its planned end. A stuck saga is retried. A saga that completes although it should
    /// be undone is cancelled.
    pub(crate) async fn wait_for_end(&self, run: &Run) {
        let id = loop {
            match run.saga.get() {
                Some(id) => break *id,
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        let end = if run.is_undone() { SagaStatus::Undone } else { SagaStatus::Completed };
        loop {
            match self.wait_for_status(id, &[end, SagaStatus::Completed, SagaStatus::Stuck]).await {
                status if status == end => return,
                SagaStatus::Stuck => {
                    let path = format!("/api/v1/provision/jobs/{id}/retry");
                    self.send(&self.system.provisioning, Method::POST, &path, json!({})).await;
                }
                _ => cancel(self.service(run), id).await,
            }
            sleep(2 * POLL_INTERVAL).await;
        }
    }

    /// The API representation of the run's saga, for failure reports.
    pub(crate) async fn state_of(&self, run: &Run) -> Value {
        let Some(id) = run.saga.get() else { return json!("it has not started") };
        let path = if run.plan.outline.kind == ONBOARDING { "onboarding" } else { "provision/jobs" };
        self.service(run).get(&format!("/api/v1/{path}/{id}")).await.body
    }

    /// The service that runs the saga.
    fn service(&self, run: &Run) -> &TestService {
        service(&self.system, run.plan.outline.kind)
    }

    /// The kinds and names of a platform's objects at the provider.
    pub(crate) async fn live(&self, platform: &str) -> Vec<String> {
        let live = self.system.provider.live().await.unwrap().into_iter();
        let ours = live.filter(|one| one.name.contains(platform));
        let mut names: Vec<_> = ours.map(|one| format!("{} {}", one.kind, one.name)).collect();
        names.sort_unstable();
        names
    }

    /// The kinds of a platform's objects at the provider.
    pub(crate) async fn kinds(&self, platform: &str) -> Vec<String> {
        let live = self.live(platform).await.into_iter();
        live.map(|one| one.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    /// The names and deployments of a platform's workers at the provider.
    pub(crate) async fn deployments(&self, platform: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for one in self.live(platform).await {
            if let Some(name) = one.strip_prefix("worker ") {
                let owner = Owner::of(&domain::PlatformId::parse(platform).unwrap());
                let target = Target::plain(&owner, ResourceKind::Worker, name).unwrap();
                let observed = self.system.provider.observe(&target).await.unwrap().unwrap();
                found.push(json!([name, observed.details["deployment"]]));
            }
        }
        found
    }

    /// A platform's resources and DNS records in the registry.
    pub(crate) async fn registered(&self, platform: &str) -> Vec<String> {
        let sql = "SELECT cf_name || ' ' || status AS text FROM resources \
                   WHERE platform_id = $1 AND deleted_at IS NULL \
                   UNION ALL SELECT hostname || ' ' || status FROM dns_records WHERE platform_id = $1 ORDER BY text";
        let mut registry = self.registry.lock().await;
        let rows: Vec<TextRow> = sql_query(sql).bind::<Text, _>(platform).load(&mut *registry).await.unwrap();
        rows.into_iter().map(|row| row.text).collect()
    }

    /// Asserts that the provider and the registry have the same objects, all active, and that nothing was created twice
    /// unless the run was undone.
    pub(crate) async fn assert_consistent(&self, run: &Run, platform: &str) {
        let (live, registered) = (self.live(platform).await, self.registered(platform).await);
        let unregistered = |one: &&String| one.starts_with("secret ") || one.starts_with("git_repository ");
        let mut expected: Vec<_> = live
            .iter()
            .filter(|one| !unregistered(one))
            .map(|one| format!("{} active", one.split(' ').nth(1).unwrap_or_default()))
            .collect();
        expected.sort_unstable();
        assert_eq!(registered, expected, "the registry and the provider have the same objects");
        if !run.is_undone() {
            let mut recreated = self.system.provider.recreated().await.unwrap();
            recreated.retain(|identity| identity.contains(platform));
            assert_eq!(recreated, [""; 0], "created again");
        }
    }

    pub(crate) async fn assert_nothing_left(&self, platform: &str) {
        assert_eq!(self.live(platform).await, [""; 0], "orphans");
        assert_eq!(self.registered(platform).await, [""; 0], "still registered");
    }
}

/// The body of the request for a job that provisions a platform.
pub(crate) fn infrastructure(platform: &str) -> Value {
    json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.example" })
}

/// Polls the statuses of all sagas. If each run polled its own, the services would do little else.
async fn watch_statuses(system: Weak<System>, publish: watch::Sender<Statuses>) {
    let mut connections = [None, None];
    while let Some(system) = system.upgrade() {
        let services = [&system.onboarding, &system.provisioning];
        for (service, open) in services.into_iter().zip(&mut connections) {
            let mut current = match open.take() {
                Some(current) => current,
                None => connection(service).await,
            };
            let rows: Result<Vec<(Uuid, SagaStatus)>, _> =
                sagas::table.select((sagas::id, sagas::status)).load(&mut current).await;
            // The tests may drop this connection too.
            if let Ok(rows) = rows {
                *open = Some(current);
                publish.send_modify(|all| all.extend(rows));
            }
        }
        drop(system);
        sleep(POLL_INTERVAL).await;
    }
}
