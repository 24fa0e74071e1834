//! Every service on real sockets, each with a database of its own, and the gateway before them.

use std::net::SocketAddr;

use fake_provider::FakeProvisioning;
use gateway::Gateway;
use iam::Iam;
use onboarding::Onboarding;
use registry::Registry;
use reqwest::{Method, RequestBuilder};
use runtime::{config, shutdown::Shutdown};
use serde_json::{Value, json};
use service::Service;
use stack_registry::StackRegistry;
use tempfile::TempDir;
use testkit::{Keys, Response, TestDb, TestService};

/// The operator's credential.
pub(crate) const OPERATOR: &str = "the-key-of-the-operator";

pub(crate) struct System {
    pub(crate) registry: TestService,
    pub(crate) stack_registry: TestService,
    pub(crate) onboarding: TestService,
    pub(crate) provisioning: TestService,
    pub(crate) iam: TestService,
    keys: Keys,
    _folder: TempDir,
}

/// A gateway that runs until the test ends.
pub(crate) struct Door {
    at: SocketAddr,
    client: reqwest::Client,
    shutdown: Shutdown,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn start<S: Service>(keys: &Keys, service: Value) -> TestService {
    TestService::start_on::<S>(TestDb::of::<S>().await, keys.clone(), json!({ "service": service })).await
}

impl System {
    /// What calls another finds it; the registry calls nobody.
    pub(crate) async fn start() -> Self {
        let (keys, folder) = (Keys::new(), tempfile::tempdir().unwrap());
        let grpc = |of: &TestService| json!({ "url": format!("http://{}", of.grpc) });
        let nobody = json!({ "url": "http://127.0.0.1:9" });
        let peers = json!({ "stack_registry": nobody, "provisioning": nobody, "onboarding": nobody });
        let registry = start::<Registry>(&keys, peers).await;
        let to_registry = json!({ "registry": grpc(&registry) });
        let stack_registry = start::<StackRegistry>(&keys, to_registry.clone()).await;
        let iam = start::<Iam>(&keys, to_registry.clone()).await;
        let mut own = json!({ "data_dir": folder.path() });
        config::put_over(&mut own, to_registry.clone());
        let provisioning = start::<FakeProvisioning>(&keys, own).await;
        let mut peers = json!({ "provisioning": grpc(&provisioning), "iam": grpc(&iam) });
        config::put_over(&mut peers, to_registry);
        let onboarding = start::<Onboarding>(&keys, peers).await;
        Self { registry, stack_registry, onboarding, provisioning, iam, keys, _folder: folder }
    }

    /// A gateway before it.
    pub(crate) fn door(&self) -> Door {
        let http = |of: &TestService| json!({ "url": format!("http://{}", of.http) });
        let set = json!({
            "http": { "bind": "127.0.0.1:0", "workers": 1 },
            "identity": { "keys_dir": self.keys.dir() },
            "service": {
                "operator_key": OPERATOR,
                "upstreams": {
                    "registry": http(&self.registry), "stack_registry": http(&self.stack_registry),
                    "onboarding": http(&self.onboarding), "provisioning": http(&self.provisioning),
                    "iam": http(&self.iam),
                },
                "iam": { "url": format!("http://{}", self.iam.grpc) },
                // Whoever is refused so often is not looked at for a while.
                "limits": { "failures_per_minute": 100_000 },
            },
        });
        let settings = config::with_overrides(gateway::DEFAULTS, set).unwrap();
        let shutdown = Shutdown::new();
        let gateway = Gateway::build(settings, shutdown.clone()).unwrap();
        let at = gateway.http;
        tokio::spawn(gateway.run());
        Door { at, client: testkit::client(), shutdown }
    }
}

impl Door {
    /// A request without a credential.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.at))
    }

    /// Asks with a credential; a null body is none.
    pub(crate) async fn ask(&self, credential: &str, method: Method, path: &str, body: &Value) -> Response {
        let mut request = self.anonymous(method, path).bearer_auth(credential);
        if !body.is_null() {
            request = request.json(body);
        }
        Response::read(request.send().await.unwrap()).await
    }

    /// POST as the operator.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(OPERATOR, Method::POST, path, &body).await.expect(201)
    }
}
