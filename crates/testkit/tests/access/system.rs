//! All services on real sockets, each with its own database, and the gateway.

use std::net::SocketAddr;

use fake_provider::FakeProvisioning;
use gateway::Gateway;
use iam::Iam;
use onboarding::Onboarding;
use registry::Registry;
use reqwest::{Method, RequestBuilder};
use runtime::{config, shutdown::Shutdown};
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use tempfile::TempDir;
use testkit::{Response, TestService};

/// The operator's credential.
pub(crate) const OPERATOR: &str = "the-key-of-the-operator";

pub(crate) struct System {
    pub(crate) registry: TestService,
    pub(crate) stack_registry: TestService,
    pub(crate) onboarding: TestService,
    pub(crate) provisioning: TestService,
    pub(crate) iam: TestService,
    system: testkit::System,
    _folder: TempDir,
}

/// A gateway that runs until the test ends.
pub(crate) struct TestGateway {
    address: SocketAddr,
    client: reqwest::Client,
    shutdown: Shutdown,
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

impl System {
    /// Starts every service. The registry calls none of the others.
    pub(crate) async fn start() -> Self {
        let (system, folder) = (testkit::System::new(), tempfile::tempdir().unwrap());
        let unreachable = json!({ "url": "http://127.0.0.1:9" });
        let peers =
            json!({ "stack_registry": unreachable, "provisioning": unreachable, "onboarding": unreachable });
        let registry = system.start::<Registry>(peers).await;
        let stack_registry = system.start::<StackRegistry>(json!({})).await;
        let iam = system.start::<Iam>(json!({})).await;
        let provisioning = system.start::<FakeProvisioning>(json!({ "data_dir": folder.path() })).await;
        let onboarding = system.start::<Onboarding>(json!({})).await;
        Self { registry, stack_registry, onboarding, provisioning, iam, system, _folder: folder }
    }

    /// Starts a gateway for the services.
    pub(crate) fn start_gateway(&self) -> TestGateway {
        let http = |service: &TestService| json!({ "url": format!("http://{}", service.http) });
        let set = json!({
            "http": { "bind": "127.0.0.1:0", "workers": 1 },
            "identity": { "keys_dir": self.system.keys().dir() },
            "service": {
                "operator_key": OPERATOR,
                "upstreams": {
                    "registry": http(&self.registry), "stack_registry": http(&self.stack_registry),
                    "onboarding": http(&self.onboarding), "provisioning": http(&self.provisioning),
                    "iam": http(&self.iam),
                },
                "iam": { "url": format!("http://{}", self.iam.grpc) },
                // These tests exceed the default limit of rejected credentials.
                "limits": { "failures_per_minute": 100_000 },
            },
        });
        let settings = config::with_overrides(gateway::DEFAULTS, set).unwrap();
        let shutdown = Shutdown::new();
        let gateway = Gateway::build(settings, shutdown.clone()).unwrap();
        let address = gateway.http;
        tokio::spawn(gateway.run());
        TestGateway { address, client: testkit::client(), shutdown }
    }
}

impl TestGateway {
    /// Returns a request without a credential.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request with a credential. Null means no body.
    pub(crate) async fn send(&self, credential: &str, method: Method, path: &str, body: &Value) -> Response {
        let mut request = self.anonymous(method, path).bearer_auth(credential);
        if !body.is_null() {
            request = request.json(body);
        }
        Response::read(request.send().await.unwrap()).await
    }

    /// Sends a POST request of the operator and returns the created object.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.send(OPERATOR, Method::POST, path, &body).await.expect(201)
    }
}
