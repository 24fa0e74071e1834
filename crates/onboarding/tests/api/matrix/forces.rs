//! What strikes, for real: connections are ended by the database, and the provider's calls fail.

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
use fake_provider::{Action, Fault, Rule, Stage};
use testkit::{TestDb, TestService};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use uuid::Uuid;

use super::ONBOARDING;
use crate::system::System;

/// Longer than any try here is left.
const HANGS: Duration = Duration::from_secs(5);

/// Connections are made anew at a price: sagas that are to lose theirs within this time lose them together.
const TOGETHER: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(crate) struct Forces {
    system: OnceLock<Weak<System>>,
    onboarding: Drops,
    provisioning: Drops,
    /// What the provider does wrong, by platform.
    cuts: Mutex<BTreeMap<String, Action>>,
}

/// How often all connections to a database were dropped, and when last.
#[derive(Default)]
struct Drops {
    begun: AtomicUsize,
    last: tokio::sync::Mutex<Option<Instant>>,
}

impl Drops {
    /// Ends when they were dropped, from now on, by whoever.
    async fn next(&self, db: &TestDb) {
        let before = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if self.begun.load(Ordering::SeqCst) > before {
            return;
        }
        if let Some(last) = *last {
            sleep_until(last + TOGETHER).await;
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        db.cut_connections().await;
        *last = Some(Instant::now());
    }
}

/// An action of the provider's that passes.
pub(crate) fn away() -> Action {
    Action::Fail(Fault::Retryable("the provider is not there".to_owned()))
}

/// It does what it is asked, and its answer is lost.
pub(crate) fn unheard() -> Action {
    Action::FailAfterEffect(Fault::Retryable("the answer was lost".to_owned()))
}

/// The same, and nobody is told that it is lost.
pub(crate) fn silent() -> Action {
    Action::Hang { stage: Stage::AfterEffect, duration: Some(HANGS) }
}

/// What interferes is not async. It may have to wait, and another takes the place of its worker.
#[expect(clippy::disallowed_methods, reason = "the runtime has many threads here")]
pub(crate) fn waiting<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn now<T>(work: impl Future<Output = T>) -> T {
    Handle::current().block_on(work)
}

impl Forces {
    /// They need a system, which needs what interferes with it first.
    pub(crate) fn unleash_on(&self, system: &Arc<System>) {
        assert!(self.system.set(Arc::downgrade(system)).is_ok(), "one system");
    }

    fn system(&self) -> Arc<System> {
        self.system.get().and_then(Weak::upgrade).expect("a system")
    }

    /// Ends all connections to the database of the saga's service, of whatever saga or request they are.
    pub(crate) fn drop_connections(&self, saga: &Saga) {
        let system = self.system();
        let drops = if saga.kind == ONBOARDING { &self.onboarding } else { &self.provisioning };
        now(drops.next(&service(&system, &saga.kind).db));
    }

    /// Cancels the saga.
    pub(crate) fn cancel(&self, saga: &Saga) {
        let system = self.system();
        now(cancel(service(&system, &saga.kind), saga.id));
    }

    /// Has the provider do this wrong, for the saga's platform, until that is lifted.
    pub(crate) fn cut(&self, saga: &Saga, action: Action) {
        self.set(|cuts| drop(cuts.insert(saga.subject.clone(), action)));
    }

    pub(crate) fn lift(&self, platform: &str) {
        self.set(|cuts| drop(cuts.remove(platform)));
    }

    fn set(&self, change: impl FnOnce(&mut BTreeMap<String, Action>)) {
        let provider = self.system().provider.clone();
        waiting(|| {
            // Held until the script is set, so that the scripts come in order.
            let mut cuts = self.cuts.lock().unwrap();
            change(&mut cuts);
            let rules = cuts.iter().map(|(platform, action)| Rule::new(action.clone()).about(platform));
            now(provider.follow(rules.collect::<Vec<_>>())).unwrap();
        });
    }
}

/// Cancels a saga, which may have completed.
pub(crate) async fn cancel(service: &TestService, saga: Uuid) {
    while ::saga::request_undo(&connection(service).await, saga, "cancelled on purpose").await.is_err() {}
}

/// A connection to the database of a service. It is dropped like any other, also while it is made.
pub(crate) async fn connection(service: &TestService) -> AsyncPgConnection {
    loop {
        if let Ok(mut connection) = AsyncPgConnection::establish(&service.db.app_url).await
            && connection.batch_execute("SET nno.platforms TO '*'").await.is_ok()
        {
            return connection;
        }
    }
}

/// The service whose sagas are of this kind.
pub(crate) fn service<'s>(system: &'s System, kind: &str) -> &'s TestService {
    if kind == ONBOARDING { &system.onboarding } else { &system.provisioning }
}
