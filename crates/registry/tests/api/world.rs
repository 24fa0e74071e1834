//! A running registry, with helpers to fill it.

use std::ops::Deref;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use domain::{Error, Grant, Result, Role};
use identity::{ActorType, Caller};
use registry::Registry;
use reqwest::Method;
use rpc::{Message, PeerCall, SignedChannel, registry::registry_client::RegistryClient};
use serde_json::{Value, json};
use testkit::{Keys, Response, TestDb, TestService};
use tonic::{Request, Response as Answer, Status};

pub(crate) struct World(TestService);

impl Deref for World {
    type Target = TestService;

    fn deref(&self) -> &TestService {
        &self.0
    }
}

/// Returns a text field of a response.
#[track_caller]
pub(crate) fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("no {field} in {object}")).to_owned()
}

/// Returns the paths of the invalid fields that a response reports.
#[track_caller]
pub(crate) fn faults(answer: Response) -> Vec<String> {
    let details = answer.expect_error(400, "VALIDATION_ERROR");
    details["fields"].as_array().unwrap().iter().map(|fault| text(fault, "path")).collect()
}

/// Returns the ids on a page.
pub(crate) fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|one| text(one, "id")).collect()
}

pub(crate) fn resource_body(cf_name: &str) -> Value {
    json!({
        "stackId": "default", "resourceType": "worker", "serviceName": "auth", "environment": "prod", "cfName": cf_name,
    })
}

impl World {
    pub(crate) async fn start() -> Self {
        Self(TestService::start::<Registry>().await)
    }

    pub(crate) async fn start_with(overrides: Value) -> Self {
        Self(TestService::start_with::<Registry>(overrides).await)
    }

    /// Starts a registry on an existing database.
    pub(crate) async fn on(db: TestDb, overrides: Value) -> Self {
        Self(TestService::start_on::<Registry>(db, Keys::new(), overrides).await)
    }

    /// Starts a second replica on the same database. The first one must outlive it.
    pub(crate) async fn replica(&self, overrides: Value) -> Self {
        let mut set = json!({ "database": { "url": self.db.app_url } });
        runtime::config::merge(&mut set, overrides);
        Self(TestService::start_on::<Registry>(TestDb::of::<Registry>().await, self.keys.clone(), set).await)
    }

    /// Returns the id of a new active platform.
    pub(crate) async fn platform(&self, slug: &str) -> String {
        text(&self.post("/api/v1/platforms", json!({ "name": "Shop", "slug": slug })).await.expect(201), "id")
    }

    /// Returns the id of a new tenant.
    pub(crate) async fn tenant(&self, platform: &str, slug: &str) -> String {
        let body = json!({ "name": "Tenant", "slug": slug, "type": "tenant" });
        text(&self.post(&format!("/api/v1/platforms/{platform}/entities"), body).await.expect(201), "id")
    }

    /// Returns the id of a new subtenant.
    pub(crate) async fn subtenant(&self, platform: &str, slug: &str, parent: &str) -> String {
        let body = json!({ "name": "Subtenant", "slug": slug, "type": "subtenant", "parentId": parent });
        text(&self.post(&format!("/api/v1/platforms/{platform}/entities"), body).await.expect(201), "id")
    }

    /// Returns the id of a new custom stack.
    pub(crate) async fn stack(&self, platform: &str, tenant: &str, name: &str) -> String {
        let body = json!({ "tenantId": tenant, "name": name });
        text(&self.post(&format!("/api/v1/platforms/{platform}/stacks"), body).await.expect(201), "id")
    }

    /// Returns the id of a new resource. With the platform's id as the entity, it belongs to the platform itself.
    pub(crate) async fn resource(&self, platform: &str, entity: &str, cf_name: &str) -> String {
        let path = format!("/api/v1/platforms/{platform}/entities/{entity}/resources");
        text(&self.post(&path, resource_body(cf_name)).await.expect(201), "id")
    }

    /// Sends a request with headers.
    pub(crate) async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Response {
        self.send(Method::POST, path, &body, headers).await
    }

    /// Sends a request of a caller with the scope `scope`, such as `{"platform": id}`. A null body means no body.
    pub(crate) async fn send_as(&self, scope: &Value, method: Method, path: &str, body: &Value) -> Response {
        let scope = serde_json::from_value(scope.clone()).unwrap();
        let grant = Grant { role: Role::PlatformAdmin, scope };
        let mut request =
            self.request_as(&Caller::authenticated("user:ada", ActorType::User, vec![grant]), method, path);
        if !body.is_null() {
            request = request.json(body);
        }
        Response::read(request.send().await.unwrap()).await
    }

    /// Runs SQL as the role that serves requests.
    pub(crate) async fn sql(&self, sql: &str) {
        sql_query(sql).execute(&mut self.db.connect().await).await.unwrap();
    }

    /// Returns the number that a query selects.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let row: Row = sql_query(format!("SELECT ({sql})::bigint AS n"))
            .get_result(&mut self.db.connect().await)
            .await
            .unwrap();
        row.n
    }

    /// Returns the number of writes so far: every write adds an audit entry.
    pub(crate) async fn writes(&self) -> i64 {
        self.number("SELECT count(*) FROM audit_log").await
    }

    /// Calls a method as `process`, with `key` as the idempotency key if set.
    pub(crate) async fn call<M, T, F>(
        &self,
        process: &str,
        key: Option<&str>,
        message: M,
        send: F,
    ) -> Result<T, Error>
    where
        M: Message,
        F: AsyncFnOnce(RegistryClient<SignedChannel>, Request<M>) -> Result<Answer<T>, Status>,
    {
        let peer = self.peer(process);
        let request =
            peer.request(&self.ctx(process), PeerCall { idempotency_key: key, deadline: None }, message)?;
        peer.unpack(send(RegistryClient::new(peer.channel()), request).await)
    }
}
