//! A running system in which causes are injected, and what a cause is.

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
/// Makes what is asked about.
pub(crate) type Make = for<'s> fn(&'s mut Scene) -> Later<'s, Thing>;
/// Does something to it.
pub(crate) type Act = for<'s> fn(&'s mut Scene, &'s Thing) -> Later<'s, ()>;

/// One thing that keeps another from being ready.
pub(crate) struct Cause {
    pub(crate) name: &'static str,
    /// What the provider does meanwhile.
    rules: Vec<Rule>,
    /// A service that is stopped before the thing is made.
    away: Option<Process>,
    make: Make,
    inject: Option<Act>,
    /// What the chain is made of, from what was asked to the root cause.
    chain: &'static [&'static str],
    /// What the root cause's sentence has in it.
    because: &'static [&'static str],
    /// What ends the cause, if something does: the thing is ready then.
    lift: Option<Act>,
}

/// The services that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Registry,
    StackRegistry,
    Provisioning,
    Onboarding,
}

/// What is asked about, and what belongs to it.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) of: Process,
    /// Where it is explained.
    pub(crate) path: String,
    pub(crate) platform: String,
    pub(crate) session: String,
    pub(crate) job: String,
}

pub(crate) struct Scene {
    pub(crate) system: System,
    /// Somebody else at the address of a service.
    pub(crate) impostor: Option<JoinHandle<()>>,
    turn: usize,
}

impl Cause {
    pub(crate) fn of(name: &'static str, make: Make) -> Self {
        let (chain, because): (&[_], &[_]) = (&[], &[]);
        Self { name, rules: Vec::new(), away: None, make, inject: None, chain, because, lift: None }
    }

    pub(crate) fn rules(mut self, rules: impl Into<Vec<Rule>>) -> Self {
        self.rules = rules.into();
        self
    }

    pub(crate) fn away(mut self, process: Process) -> Self {
        self.away = Some(process);
        self
    }

    pub(crate) fn inject(mut self, act: Act) -> Self {
        self.inject = Some(act);
        self
    }

    pub(crate) fn tells(mut self, chain: &'static [&'static str], because: &'static [&'static str]) -> Self {
        (self.chain, self.because) = (chain, because);
        self
    }

    pub(crate) fn lift(mut self, act: Act) -> Self {
        self.lift = Some(act);
        self
    }
}

/// The provider does as it should again.
pub(crate) fn calm<'s>(scene: &'s mut Scene, _: &'s Thing) -> Later<'s, ()> {
    Box::pin(async move { scene.system.provider.follow([]).await.unwrap() })
}

pub(crate) fn later(operation: Operation, kind: ResourceKind, words: &str) -> Rule {
    Rule::new(Action::Fail(Fault::Retryable(words.to_owned()))).on(operation).kind(kind)
}

pub(crate) fn never(operation: Operation, kind: ResourceKind, words: &str) -> Rule {
    Rule::new(Action::Fail(Fault::Permanent(words.to_owned()))).on(operation).kind(kind)
}

/// It does not come back from making one, until it is told otherwise.
pub(crate) fn hangs(kind: ResourceKind) -> Rule {
    Rule::new(Action::Hang { stage: Stage::BeforeEffect, duration: None }).on(Operation::Ensure).kind(kind)
}

pub(crate) fn text(thing: &Value, field: &str) -> String {
    thing[field].as_str().unwrap_or_else(|| panic!("no {field} in {thing}")).to_owned()
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self { system: System::start().await, impostor: None, turn: 0 }
    }

    /// A slug that no other cause has.
    pub(crate) fn slug(&self) -> String {
        format!("cause-{}", self.turn)
    }

    pub(crate) fn service(&self, process: Process) -> &TestService {
        match process {
            Process::Registry => &self.system.registry,
            Process::StackRegistry => &self.system.stacks,
            Process::Provisioning => &self.system.provisioning,
            Process::Onboarding => &self.system.onboarding,
        }
    }

    /// Injects a cause, hears it named, and lifts it.
    pub(crate) async fn play(&mut self, cause: Cause) {
        self.turn += 1;
        self.system.provider.follow(cause.rules).await.unwrap();
        if let Some(process) = cause.away {
            self.service(process).stop().await;
        }
        let thing = (cause.make)(self).await;
        if let Some(inject) = cause.inject {
            inject(self, &thing).await;
        }
        let names = |told: &Value| {
            let because = told["because"].as_str().unwrap();
            things(told) == cause.chain && cause.because.iter().all(|words| because.contains(words))
        };
        let told = self.explained(&thing, cause.name, names).await;
        let says = told["chain"].as_array().unwrap().last().unwrap()["says"].as_str();
        assert_eq!((says, &told["ready"]), (told["because"].as_str(), &json!(false)), "{}", cause.name);
        match cause.lift {
            Some(lift) => {
                lift(self, &thing).await;
                self.explained(&thing, cause.name, |told| told["ready"] == true).await;
            }
            None => calm(self, &thing).await,
        }
    }

    /// The explanation, as soon as it is one of these.
    async fn explained(&self, thing: &Thing, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut told = Value::Null;
        for _ in 0..1000 {
            told = self.service(thing.of).get(&thing.path).await.expect(200);
            if is(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name}: {told:#}")
    }

    /// Asks until it is done: what it is about may be yet to come.
    pub(crate) async fn post(&self, process: Process, path: &str, body: Value) -> Value {
        let mut answer = Value::Null;
        for _ in 0..1000 {
            let found = self.service(process).post(path, body.clone()).await;
            if found.status.is_success() {
                return found.body;
            }
            answer = found.body;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path}: {answer}")
    }

    /// Runs SQL on a service's database until it has changed something.
    pub(crate) async fn sql(&self, process: Process, sql: &str) {
        let mut connection = self.service(process).db.connect_as_superuser().await;
        for _ in 0..1000 {
            if sql_query(sql).execute(&mut connection).await.unwrap() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nothing was changed: {sql}")
    }

    /// Waits until a query counts something.
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
        panic!("never any {counted}")
    }

    /// Starts a service again that was stopped.
    pub(crate) async fn start_again(&mut self, process: Process) {
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
                again::<Registry>(registry, own).await;
            }
            Process::StackRegistry => {
                let own = json!({ "registry": url(registry) });
                again::<stack_registry::StackRegistry>(stacks, own).await;
            }
            Process::Provisioning => {
                let own = json!({ "registry": url(registry), "data_dir": folder.path(),
                    "engine": quick_engine(), "domains": { "check_every": "300ms" } });
                again::<FakeProvisioning>(provisioning, own).await;
            }
            Process::Onboarding => {
                let own = json!({ "registry": url(registry), "provisioning": url(provisioning),
                    "engine": quick_engine() });
                again::<Onboarding>(onboarding, own).await;
            }
        }
    }
}

/// Starts a service at the address and on the database that it had.
async fn again<S: Service>(service: &mut TestService, own: Value) {
    let mut set = json!({ "grpc": { "bind": service.grpc }, "database": { "url": service.db.app_url } });
    config::merge(&mut set, json!({ "service": own }));
    let mut new = TestService::start_on::<S>(TestDb::of::<S>().await, service.keys.clone(), set).await;
    // The one that was stopped takes the other database with it.
    std::mem::swap(&mut new.db, &mut service.db);
    *service = new;
}

fn things(told: &Value) -> Vec<&str> {
    told["chain"].as_array().unwrap().iter().map(|link| link["thing"].as_str().unwrap()).collect()
}
