//! A running iam beside a real registry with some platforms in it.

use std::ops::Deref;

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use domain::{ApiKey, EntityId, Grant, GrantScope, PlatformId, Role};
use iam::Iam;
use identity::{ActorType, Caller};
use registry::Registry;
use reqwest::Method;
use rpc::{
    PeerCall,
    iam::{ResolveKeyRequest, ResolvedKey, iam_client::IamClient},
};
use serde_json::{Value, json};
use testkit::{Response, System, TestService};

pub(crate) const KEYS: &str = "/api/v1/iam/keys";
pub(crate) const BINDINGS: &str = "/api/v1/iam/bindings";

/// A platform `own` with a tenant, one below it, and another; and a platform beside it with a tenant.
pub(crate) struct World {
    pub(crate) iam: TestService,
    pub(crate) registry: TestService,
    pub(crate) own: PlatformId,
    pub(crate) tenant: EntityId,
    pub(crate) below: EntityId,
    pub(crate) beside: EntityId,
    pub(crate) other: PlatformId,
    pub(crate) others: EntityId,
    services: System,
}

impl Deref for World {
    type Target = TestService;

    fn deref(&self) -> &TestService {
        &self.iam
    }
}

pub(crate) fn grant(role: Role, reach: &GrantScope) -> Grant {
    Grant { role, scope: reach.clone() }
}

/// A person who holds some grants.
pub(crate) fn person(grants: Vec<Grant>) -> Caller {
    Caller::authenticated("user:someone", ActorType::User, grants)
}

/// What a body says of a reach.
pub(crate) fn body(role: Role, reach: &GrantScope, more: Value) -> Value {
    let mut body = more;
    body["role"] = json!(role);
    if let Some(platform) = reach.platform() {
        body["platformId"] = json!(platform);
    }
    if let Some(entity) = reach.entity() {
        body["entityId"] = json!(entity);
    }
    body
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// iam with a registry that nobody answers for.
pub(crate) async fn alone() -> TestService {
    TestService::start_with::<Iam>(json!({ "service": { "registry": { "url": "http://127.0.0.1:9" } } }))
        .await
}

impl World {
    pub(crate) async fn start() -> Self {
        let services = System::new();
        let registry = services.start::<Registry>(json!({})).await;
        let iam = services.start::<Iam>(json!({})).await;
        let (own, other) = (registry.platform("own").await, registry.platform("other").await);
        let tenant = registry.entity(&own, "tenant", None).await;
        let below = registry.entity(&own, "below", Some(&tenant)).await;
        let beside = registry.entity(&own, "beside", None).await;
        let others = registry.entity(&other, "tenant", None).await;
        Self { iam, registry, own, tenant, below, beside, other, others, services }
    }

    /// Another process of iam on the same database.
    pub(crate) async fn replica(&self) -> TestService {
        self.services.replica::<Iam>(&self.iam, json!({})).await
    }

    pub(crate) fn all_of_own(&self) -> GrantScope {
        GrantScope::Platform(self.own.clone())
    }

    pub(crate) fn of_tenant(&self) -> GrantScope {
        GrantScope::Entity(self.own.clone(), self.tenant.clone())
    }

    pub(crate) async fn send_as(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Response {
        send_as(&self.iam, caller, method, path, body).await
    }

    /// A key of the operator's making.
    pub(crate) async fn key(&self, role: Role, reach: &GrantScope) -> Value {
        self.post(KEYS, body(role, reach, json!({ "name": "ci" }))).await.expect(201)
    }
}

pub(crate) async fn send_as(
    iam: &TestService,
    caller: &Caller,
    method: Method,
    path: &str,
    body: &Value,
) -> Response {
    let mut request = iam.request_as(caller, method, path);
    if !body.is_null() {
        request = request.json(body);
    }
    Response::read(request.send().await.unwrap()).await
}

/// What the gateway is told of a key.
pub(crate) async fn resolve(iam: &TestService, key: &str) -> Option<ResolvedKey> {
    let key = ApiKey::parse(key).unwrap();
    resolve_digest(iam, &key.id().to_string(), key.secret_digest().to_vec()).await
}

pub(crate) async fn resolve_digest(iam: &TestService, id: &str, digest: Vec<u8>) -> Option<ResolvedKey> {
    let peer = iam.peer("gateway");
    let message = ResolveKeyRequest { id: id.to_owned(), secret_digest: digest };
    let request = peer.request(&iam.ctx("gateway"), PeerCall::default(), message).unwrap();
    peer.unpack(IamClient::new(peer.channel()).resolve_key(request).await).unwrap().key
}

/// How many rows a table has, or what is behind FROM.
pub(crate) async fn count(iam: &TestService, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let sql = format!("SELECT count(*) AS n FROM {from}");
    sql_query(sql).get_result::<Count>(&mut iam.db.connect().await).await.unwrap().n
}
