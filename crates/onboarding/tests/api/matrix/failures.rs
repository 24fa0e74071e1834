//! The injected failures. They are real: the database ends connections, and calls to the provider fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::saga::Saga;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use fake_provider::{Action, Fault, Rule, Stage as CallStage};
use testkit::{TestDb, TestService};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use uuid::Uuid;

use super::ONBOARDING;
use crate::system::System;

/// Longer than any attempt may take here.
const HANGS: Duration = Duration::from_secs(5);

/// Reconnecting is expensive, so drops within this time are combined.
const DROP_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct FailureInjector {
    system: OnceLock<Weak<System>>,
    onboarding: Drops,
    provisioning: Drops,
    /// The provider's faults, by platform.
    outages: Mutex<BTreeMap<String, Action>>,
}

/// The number and time of the drops of all connections to a database.
#[derive(Default)]
struct Drops {
    count: AtomicUsize,
    last: tokio::sync::Mutex<Option<Instant>>,
}

impl Drops {
    /// Drops the connections, or waits for a concurrent drop.
    async fn next(&self, db: &TestDb) {
        let before = self.count.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if self.count.load(Ordering::SeqCst) > before {
            return;
        }
        if let Some(last) = *last {
            sleep_until(last + DROP_INTERVAL).await;
        }
        self.count.fetch_add(1, Ordering::SeqCst);
        db.cut_connections().await;
        *last = Some(Instant::now());
    }
}

/// A transient failure of the provider.
pub(crate) fn unavailable() -> Action {
    Action::Fail(Fault::Retryable("the provider is unavailable".to_owned()))
}

/// The call takes effect, and its response is lost.
pub(crate) fn lost_response() -> Action {
    Action::FailAfterEffect(Fault::Retryable("the response was lost".to_owned()))
}

/// The call takes effect and hangs.
pub(crate) fn hang_after_effect() -> Action {
    Action::Hang { stage: CallStage::AfterEffect, duration: Some(HANGS) }
}

/// Runs blocking work in a fault injector, which is not async. Another worker thread takes over meanwhile.
#[expect(clippy::disallowed_methods, reason = "the runtime has many threads here")]
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    Handle::current().block_on(work)
}

impl FailureInjector {
    /// Sets the system. It is set late because the system needs the fault injectors first.
    pub(crate) fn attach(&self, system: &Arc<System>) {
        assert!(self.system.set(Arc::downgrade(system)).is_ok(), "one system");
    }

    fn system(&self) -> Arc<System> {
        self.system.get().and_then(Weak::upgrade).expect("a system")
    }

    /// Ends all connections to the database of the saga's service, including those of other sagas and requests.
    pub(crate) fn drop_connections(&self, saga: &Saga) {
        let system = self.system();
        let drops = if saga.kind == ONBOARDING { &self.onboarding } else { &self.provisioning };
        block_on(drops.next(&service(&system, &saga.kind).db));
    }

    /// Cancels the saga.
    pub(crate) fn cancel(&self, saga: &Saga) {
        let system = self.system();
        block_on(cancel(service(&system, &saga.kind), saga.id));
    }

    /// Starts a fault of the provider for the saga's platform.
    pub(crate) fn start_outage(&self, saga: &Saga, action: Action) {
        self.set(|outages| drop(outages.insert(saga.subject.clone(), action)));
    }

    pub(crate) fn end_outage(&self, platform: &str) {
        self.set(|outages| drop(outages.remove(platform)));
    }

    fn set(&self, change: impl FnOnce(&mut BTreeMap<String, Action>)) {
        let provider = self.system().provider.clone();
        blocking(|| {
            // The lock is held until the script is set, to keep the scripts in order.
            let mut outages = self.outages.lock().unwrap();
            change(&mut outages);
            let rules = outages.iter().map(|(platform, action)| Rule::new(action.clone()).about(platform));
            block_on(provider.follow(rules.collect::<Vec<_>>())).unwrap();
        });
    }
}

/// Cancels a saga, even if it is completed.
pub(crate) async fn cancel(service: &TestService, saga: Uuid) {
    while ::saga::request_undo(&connection(service).await, saga, "cancelled on purpose").await.is_err() {}
}

/// Opens a connection to the database of a service. The tests may drop it at any time, even during its creation.
pub(crate) async fn connection(service: &TestService) -> AsyncPgConnection {
    loop {
        if let Ok(mut connection) = AsyncPgConnection::establish(&service.db.app_url).await
            && connection.batch_execute("SET nno.platforms TO '*'").await.is_ok()
        {
            return connection;
        }
    }
}

/// Returns the service that runs sagas of this kind.
pub(crate) fn service<'s>(system: &'s System, kind: &str) -> &'s TestService {
    if kind == ONBOARDING { &system.onboarding } else { &system.provisioning }
}
