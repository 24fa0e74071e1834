//! The definition of a cause, and the running system in which the tests inject causes.

use std::{pin::Pin, time::Duration};

use diesel::{QueryableByName, sql_query, sql_types::BigInt};
use diesel_async::RunQueryDsl;
use fake_provider::{Action, FakeProvisioning, Fault, Operation, Rule, Stage};
use onboarding::Onboarding;
use provisioning::providers::ResourceKind;
use registry::Registry;
use runtime::config;
use serde_json::{Value, json};
use service::Service;
use testkit::{TestDb, TestService};
use tokio::task::JoinHandle;

use crate::system::{System, quick_engine};

pub(crate) type Later<'s, T> = Pin<Box<dyn Future<Output = T> + Send + 's>>;
/// Creates the object to explain.
pub(crate) type Create = for<'s> fn(&'s mut Fixture) -> Later<'s, Object>;
/// Acts on the object.
pub(crate) type Act = for<'s> fn(&'s mut Fixture, &'s Object) -> Later<'s, ()>;

/// A cause that keeps an object from being ready.
pub(crate) struct Cause {
    pub(crate) name: &'static str,
    /// The rules of the provider during the test.
    rules: Vec<Rule>,
    /// A service that is stopped before the object is created.
    stopped: Option<Process>,
    create: Create,
    inject: Option<Act>,
    /// The types of the expected chain, from the object to the root cause.
    chain: &'static [&'static str],
    /// Texts that the root cause must contain.
    because: &'static [&'static str],
    /// Removes the cause, if that is possible. The object is ready afterwards.
    remove: Option<Act>,
}

/// The services under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Registry,
    StackRegistry,
    Provisioning,
    Onboarding,
}

/// The object to explain and the ids related to it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) service: Process,
    /// The path of the explanation.
    pub(crate) path: String,
    pub(crate) platform: String,
    pub(crate) onboarding: String,
    pub(crate) job: String,
}

pub(crate) struct Fixture {
    pub(crate) system: System,
    /// A task that listens at the address of a stopped service.
    pub(crate) impostor: Option<JoinHandle<()>>,
    number: usize,
}

impl Cause {
    pub(crate) fn new(name: &'static str, create: Create) -> Self {
        let (chain, because): (&[_], &[_]) = (&[], &[]);
        Self { name, rules: Vec::new(), stopped: None, create, inject: None, chain, because, remove: None }
    }

    pub(crate) fn rules(mut self, rules: impl Into<Vec<Rule>>) -> Self {
        self.rules = rules.into();
        self
    }

    pub(crate) fn without(mut self, process: Process) -> Self {
        self.stopped = Some(process);
        self
    }

    pub(crate) fn inject(mut self, act: Act) -> Self {
        self.inject = Some(act);
        self
    }

    pub(crate) fn expect(mut self, chain: &'static [&'static str], because: &'static [&'static str]) -> Self {
        (self.chain, self.because) = (chain, because);
        self
    }

    pub(crate) fn remove(mut self, act: Act) -> Self {
        self.remove = Some(act);
        self
    }
}

/// Removes all rules of the provider.
pub(crate) fn clear_rules<'s>(fixture: &'s mut Fixture, _: &'s Object) -> Later<'s, ()> {
    Box::pin(async move { fixture.system.provider.follow([]).await.unwrap() })
}

pub(crate) fn fails_for_now(operation: Operation, kind: ResourceKind, message: &str) -> Rule {
    Rule::new(Action::Fail(Fault::Retryable(message.to_owned()))).on(operation).kind(kind)
}

pub(crate) fn fails_permanently(operation: Operation, kind: ResourceKind, message: &str) -> Rule {
    Rule::new(Action::Fail(Fault::Permanent(message.to_owned()))).on(operation).kind(kind)
}

/// The provider hangs in each creation until it gets a new script.
pub(crate) fn hangs(kind: ResourceKind) -> Rule {
    Rule::new(Action::Hang { stage: Stage::BeforeEffect, duration: None }).on(Operation::Ensure).kind(kind)
}

pub(crate) fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("no {field} in {object}")).to_owned()
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self { system: System::start().await, impostor: None, number: 0 }
    }

    /// A slug that is unique among the causes.
    pub(crate) fn slug(&self) -> String {
        format!("cause-{}", self.number)
    }

    pub(crate) fn service(&self, process: Process) -> &TestService {
        match process {
            Process::Registry => &self.system.registry,
            Process::StackRegistry => &self.system.stacks,
            Process::Provisioning => &self.system.provisioning,
            Process::Onboarding => &self.system.onboarding,
        }
    }

    /// Injects a cause, checks the explanation, and removes the cause.
    pub(crate) async fn check(&mut self, cause: Cause) {
        self.number += 1;
        self.system.provider.follow(cause.rules).await.unwrap();
        if let Some(process) = cause.stopped {
            self.service(process).stop().await;
        }
        let object = (cause.create)(self).await;
        if let Some(inject) = cause.inject {
            inject(self, &object).await;
        }
        let names_cause = |explanation: &Value| {
            let because = explanation["because"].as_str().unwrap();
            types(explanation) == cause.chain && cause.because.iter().all(|words| because.contains(words))
        };
        let explanation = self.explained(&object, cause.name, names_cause).await;
        let last = explanation["chain"].as_array().unwrap().last().unwrap()["says"].as_str();
        let because = explanation["because"].as_str();
        assert_eq!((last, &explanation["ready"]), (because, &json!(false)), "{}", cause.name);
        match cause.remove {
            Some(remove) => {
                remove(self, &object).await;
                self.explained(&object, cause.name, |explanation| explanation["ready"] == true).await;
            }
            None => clear_rules(self, &object).await,
        }
    }

    /// Waits for an explanation that satisfies the condition.
    async fn explained(&self, object: &Object, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut explanation = Value::Null;
        for _ in 0..1000 {
            explanation = self.service(object.service).get(&object.path).await.expect(200);
            if condition(&explanation) {
                return explanation;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name}: {explanation:#}")
    }

    /// Sends a POST request until it succeeds: its object may not exist yet.
    pub(crate) async fn post(&self, process: Process, path: &str, body: Value) -> Value {
        let mut last = Value::Null;
        for _ in 0..1000 {
            let response = self.service(process).post(path, body.clone()).await;
            if response.status.is_success() {
                return response.body;
            }
            last = response.body;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path}: {last}")
    }

    /// Runs SQL on a service's database until it changes a row.
    pub(crate) async fn sql(&self, process: Process, sql: &str) {
        let mut connection = self.service(process).db.connect_as_superuser().await;
        for _ in 0..1000 {
            if sql_query(sql).execute(&mut connection).await.unwrap() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no row was changed: {sql}")
    }

    /// Waits until a query counts a row.
    pub(crate) async fn until(&self, process: Process, counted: &str) {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let mut connection = self.service(process).db.connect().await;
        for _ in 0..1000 {
            let sql = format!("SELECT count(*) AS n FROM {counted}");
            if sql_query(sql).get_result::<Count>(&mut connection).await.unwrap().n > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no row in {counted}")
    }

    /// Restarts a stopped service.
    pub(crate) async fn restart(&mut self, process: Process) {
        if let Some(impostor) = self.impostor.take() {
            impostor.abort();
            let _cancelled = impostor.await;
        }
        let System { registry, stacks, provisioning, onboarding, folder, .. } = &mut self.system;
        let url = |service: &TestService| json!({ "url": format!("http://{}", service.grpc) });
        match process {
            Process::Registry => {
                let own = json!({ "stack_registry": url(stacks), "provisioning": url(provisioning),
                    "onboarding": url(onboarding) });
                restart_service::<Registry>(registry, own).await;
            }
            Process::StackRegistry => {
                let own = json!({ "registry": url(registry) });
                restart_service::<stack_registry::StackRegistry>(stacks, own).await;
            }
            Process::Provisioning => {
                let own = json!({ "registry": url(registry), "data_dir": folder.path(),
                    "engine": quick_engine(), "domains": { "check_every": "300ms" } });
                restart_service::<FakeProvisioning>(provisioning, own).await;
            }
            Process::Onboarding => {
                let own = json!({ "registry": url(registry), "provisioning": url(provisioning),
                    "engine": quick_engine() });
                restart_service::<Onboarding>(onboarding, own).await;
            }
        }
    }
}

/// Restarts a service at its old address and on its old database.
async fn restart_service<S: Service>(service: &mut TestService, own: Value) {
    let mut set = json!({ "grpc": { "bind": service.grpc }, "database": { "url": service.db.app_url } });
    config::merge(&mut set, json!({ "service": own }));
    let mut new = TestService::start_on::<S>(TestDb::of::<S>().await, service.keys.clone(), set).await;
    // The stopped service is dropped with the new, unused database.
    std::mem::swap(&mut new.db, &mut service.db);
    *service = new;
}

fn types(explanation: &Value) -> Vec<&str> {
    explanation["chain"].as_array().unwrap().iter().map(|link| link["thing"].as_str().unwrap()).collect()
}
