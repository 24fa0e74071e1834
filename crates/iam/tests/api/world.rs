//! Running iam with a real registry that contains two platforms.

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

/// Platform `own` with two tenants, one of which has a child, and platform `other` with a tenant.
pub(crate) struct World {
    pub(crate) iam: TestService,
    pub(crate) registry: TestService,
    pub(crate) own: PlatformId,
    pub(crate) tenant: EntityId,
    pub(crate) child: EntityId,
    pub(crate) sibling: EntityId,
    pub(crate) other: PlatformId,
    pub(crate) other_tenant: EntityId,
    services: System,
}

impl Deref for World {
    type Target = TestService;

    fn deref(&self) -> &TestService {
        &self.iam
    }
}

pub(crate) fn grant(role: Role, scope: &GrantScope) -> Grant {
    Grant { role, scope: scope.clone() }
}

/// User with some grants.
pub(crate) fn person(grants: Vec<Grant>) -> Caller {
    Caller::authenticated("user:someone", ActorType::User, grants)
}

/// Body of a request for a grant in a scope.
pub(crate) fn body(role: Role, scope: &GrantScope, more: Value) -> Value {
    let mut body = more;
    body["role"] = json!(role);
    if let Some(platform) = scope.platform() {
        body["platformId"] = json!(platform);
    }
    if let Some(entity) = scope.entity() {
        body["entityId"] = json!(entity);
    }
    body
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// iam without a reachable registry.
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
        let child = registry.entity(&own, "child", Some(&tenant)).await;
        let sibling = registry.entity(&own, "sibling", None).await;
        let other_tenant = registry.entity(&other, "tenant", None).await;
        Self { iam, registry, own, tenant, child, sibling, other, other_tenant, services }
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

    /// Creates a key as the operator.
    pub(crate) async fn key(&self, role: Role, scope: &GrantScope) -> Value {
        self.post(KEYS, body(role, scope, json!({ "name": "ci" }))).await.expect(201)
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

/// Resolves a key as the gateway.
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

/// Number of rows of a table, or of any FROM clause.
pub(crate) async fn count(iam: &TestService, from: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let sql = format!("SELECT count(*) AS n FROM {from}");
    sql_query(sql).get_result::<Count>(&mut iam.db.connect().await).await.unwrap().n
}
