//! The system that sagas are struck in, and how they and what they left are looked at.

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
    forces::{cancel, connection, service},
    run::Run,
};
use crate::system::System;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A lease that is kept also where the machine is busy.
fn engine() -> Value {
    json!({ "concurrency": 32, "lease": "2s", "poll": "50ms" })
}

type Statuses = HashMap<Uuid, SagaStatus>;

#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) system: Arc<System>,
    pub(crate) matrix: Arc<Matrix>,
    statuses: watch::Receiver<Statuses>,
    registry: Arc<Mutex<AsyncPgConnection>>,
}

#[derive(QueryableByName)]
struct Left {
    #[diesel(sql_type = Text)]
    text: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let matrix = Arc::<Matrix>::default();
        let fault_injector = || Some(matrix.fault_injector());
        let system = Arc::new(System::start_with(fault_injector(), fault_injector(), engine()).await);
        matrix.forces.unleash_on(&system);
        let (tell, statuses) = watch::channel(Statuses::new());
        tokio::spawn(look_on(Arc::downgrade(&system), tell));
        let registry = Arc::new(Mutex::new(system.registry.db.connect().await));
        super::stacks::publish(&system).await;
        Self { system, matrix, statuses, registry }
    }

    /// Asks a service until it answers: its connections are dropped now and then, and so may be the one to it that has
    /// long been idle.
    async fn insist(&self, service: &TestService, method: Method, path: &str, body: Value) -> Response {
        let key = Uuid::new_v4().to_string();
        loop {
            let mut request = service.request(method.clone(), path);
            if method != Method::GET {
                request = request.header("Idempotency-Key", &key).json(&body);
            }
            if let Ok(answer) = request.send().await
                && !answer.status().is_server_error()
            {
                return Response::read(answer).await;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks the registry.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> Response {
        self.insist(&self.system.registry, method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, Value::Null).await
    }

    /// Begins an onboarding; gives its id.
    pub(crate) async fn ask_onboarding(&self, slug: &str) -> Uuid {
        let body = json!({ "platformName": "Acme", "slug": slug, "tier": "starter" });
        let begun = self.insist(&self.system.onboarding, Method::POST, "/api/v1/onboarding", body).await;
        begun.expect(201)["onboardingId"].as_str().unwrap().parse().unwrap()
    }

    /// A platform with its infrastructure and its repository, as an onboarding leaves it.
    pub(crate) async fn provisioned(&self, slug: &str) -> String {
        let platform = self.platform(slug).await;
        let job = self.ask_job("platform", infrastructure(&platform)).await;
        self.completed(job).await;
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

    /// The platform of an onboarding that has begun.
    pub(crate) async fn onboarded(&self, session: Uuid) -> String {
        let path = format!("/api/v1/onboarding/{session}");
        let session = self.insist(&self.system.onboarding, Method::GET, &path, Value::Null).await.expect(200);
        session["platformId"].as_str().unwrap().to_owned()
    }

    /// Asks provisioning for a job; gives its id.
    pub(crate) async fn ask_job(&self, path: &str, body: Value) -> Uuid {
        let path = format!("/api/v1/provision/{path}");
        let queued = self.insist(&self.system.provisioning, Method::POST, &path, body).await.expect(202);
        queued["jobId"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn make(&self, path: &str, body: Value) -> String {
        let made = self.ask(Method::POST, path, body).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn platform(&self, slug: &str) -> String {
        self.make("/api/v1/platforms", json!({ "name": "Acme", "slug": slug })).await
    }

    /// A platform with a tenant.
    pub(crate) async fn tenant(&self, slug: &str) -> (String, String) {
        let platform = self.platform(slug).await;
        let tenant = json!({ "name": "Tenant", "slug": "t", "type": "tenant" });
        let tenant = self.make(&format!("/api/v1/platforms/{platform}/entities"), tenant).await;
        (platform, tenant)
    }

    async fn status(&self, id: Uuid, wanted: &[SagaStatus]) -> SagaStatus {
        let mut statuses = self.statuses.clone();
        let is = |all: &Statuses| all.get(&id).is_some_and(|status| wanted.contains(status));
        statuses.wait_for(is).await.unwrap()[&id]
    }

    pub(crate) async fn completed(&self, job: Uuid) {
        self.status(job, &[SagaStatus::Completed]).await;
    }

    /// Waits until the run's saga has come to the end that was planned; one that stops is retried, one
    /// that completes and is to be undone is cancelled.
    pub(crate) async fn settled(&self, run: &Run) {
        let id = loop {
            match run.saga.get() {
                Some(id) => break *id,
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        let end = if run.is_undone() { SagaStatus::Undone } else { SagaStatus::Completed };
        loop {
            match self.status(id, &[end, SagaStatus::Completed, SagaStatus::Stuck]).await {
                status if status == end => return,
                SagaStatus::Stuck => {
                    let path = format!("/api/v1/provision/jobs/{id}/retry");
                    self.insist(&self.system.provisioning, Method::POST, &path, json!({})).await;
                }
                _ => cancel(self.service(run), id).await,
            }
            sleep(2 * LOOK_AGAIN).await;
        }
    }

    /// What a person would look at.
    pub(crate) async fn told(&self, run: &Run) -> Value {
        let Some(id) = run.saga.get() else { return json!("it was not begun") };
        let path = if run.plan.outline.kind == ONBOARDING { "onboarding" } else { "provision/jobs" };
        self.service(run).get(&format!("/api/v1/{path}/{id}")).await.body
    }

    /// The service whose saga it is.
    fn service(&self, run: &Run) -> &TestService {
        service(&self.system, run.plan.outline.kind)
    }

    /// What the provider has of a platform: kind and name.
    pub(crate) async fn live(&self, platform: &str) -> Vec<String> {
        let live = self.system.provider.live().await.unwrap().into_iter();
        let ours = live.filter(|one| one.name.contains(platform));
        let mut names: Vec<_> = ours.map(|one| format!("{} {}", one.kind, one.name)).collect();
        names.sort_unstable();
        names
    }

    /// Their kinds alone.
    pub(crate) async fn kinds(&self, platform: &str) -> Vec<String> {
        let live = self.live(platform).await.into_iter();
        live.map(|one| one.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    /// What of a platform's workers runs, in the provider's words.
    pub(crate) async fn deployments(&self, platform: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for one in self.live(platform).await {
            if let Some(name) = one.strip_prefix("worker ") {
                let owner = Owner::of(&domain::PlatformId::parse(platform).unwrap());
                let target = Target::plain(&owner, ResourceKind::Worker, name).unwrap();
                let seen = self.system.provider.observe(&target).await.unwrap().unwrap();
                found.push(json!([name, seen.details["deployment"]]));
            }
        }
        found
    }

    /// What the registry has of a platform's resources and DNS records.
    pub(crate) async fn registered(&self, platform: &str) -> Vec<String> {
        let sql = "SELECT cf_name || ' ' || status AS text FROM resources \
                   WHERE platform_id = $1 AND deleted_at IS NULL \
                   UNION ALL SELECT hostname || ' ' || status FROM dns_records WHERE platform_id = $1 ORDER BY text";
        let mut registry = self.registry.lock().await;
        let rows: Vec<Left> = sql_query(sql).bind::<Text, _>(platform).load(&mut *registry).await.unwrap();
        rows.into_iter().map(|row| row.text).collect()
    }

    /// Provider and registry have the same, all of it active, and of a run that was not undone nothing was made twice.
    pub(crate) async fn assert_agreed(&self, run: &Run, platform: &str) {
        let (live, registered) = (self.live(platform).await, self.registered(platform).await);
        let unregistered = |one: &&String| one.starts_with("secret ") || one.starts_with("git_repository ");
        let mut expected: Vec<_> = live
            .iter()
            .filter(|one| !unregistered(one))
            .map(|one| format!("{} active", one.split(' ').nth(1).unwrap_or_default()))
            .collect();
        expected.sort_unstable();
        assert_eq!(registered, expected, "what is registered is what there is");
        if !run.is_undone() {
            let mut again = self.system.provider.recreated().await.unwrap();
            again.retain(|identity| identity.contains(platform));
            assert_eq!(again, [""; 0], "made again");
        }
    }

    pub(crate) async fn assert_nothing_left(&self, platform: &str) {
        assert_eq!(self.live(platform).await, [""; 0], "orphans");
        assert_eq!(self.registered(platform).await, [""; 0], "still registered");
    }
}

/// What a job is told that provisions a platform.
pub(crate) fn infrastructure(platform: &str) -> Value {
    json!({ "platformId": platform, "planTier": "starter", "billingEmail": "pay@acme.example" })
}

/// Looks at all sagas again and again: asked by each run, services would do little else.
async fn look_on(system: Weak<System>, tell: watch::Sender<Statuses>) {
    let mut kept = [None, None];
    while let Some(system) = system.upgrade() {
        for (service, kept) in [&system.onboarding, &system.provisioning].into_iter().zip(&mut kept) {
            let mut own = match kept.take() {
                Some(own) => own,
                None => connection(service).await,
            };
            let rows: Result<Vec<(Uuid, SagaStatus)>, _> =
                sagas::table.select((sagas::id, sagas::status)).load(&mut own).await;
            // This connection is dropped like any other.
            if let Ok(rows) = rows {
                *kept = Some(own);
                tell.send_modify(|all| all.extend(rows));
            }
        }
        drop(system);
        sleep(LOOK_AGAIN).await;
    }
}
