//! Steps that wait for jobs of provisioning hear of their ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use ::saga::{AttemptResult, Fault, FaultInjector, StepPhase};
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::SimpleAsyncConnection;
use fake_provider::{Action, FakeProvisioning, Operation, Rule, Stage};
use provisioning::providers::ResourceKind;
use serde_json::{Value, json};
use testkit::TestService;

use crate::system::{System, quick_engine};

/// The time after which a step is asked again in any case.
const IN_ANY_CASE: TimeDelta = TimeDelta::seconds(5);

/// Counts how often `provision_infra` is asked, or its undoing: each time, it asks for the job once.
fn counted(undo: bool) -> (Arc<AtomicUsize>, FaultInjector) {
    let asked = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&asked);
    let fault_injector: FaultInjector = Arc::new(move |now| {
        if (now.undo, now.step, now.phase) == (undo, "provision_infra", StepPhase::AfterIntent) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    (asked, fault_injector)
}

fn time(thing: &Value, field: &str) -> DateTime<Utc> {
    thing[field].as_str().unwrap().parse().unwrap()
}

impl System {
    /// Has the provider take so long for each worker.
    async fn workers_take(&self, duration: Duration) {
        let hangs = Action::Hang { stage: Stage::BeforeEffect, duration: Some(duration) };
        let rule = Rule::new(hangs).on(Operation::Ensure).kind(ResourceKind::Worker);
        self.provider.follow([rule]).await.unwrap();
    }

    async fn session(&self, id: &str) -> Value {
        self.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.expect(200)
    }

    /// The session, as soon as it is as wanted.
    async fn session_that(&self, id: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1000 {
            let session = self.session(id).await;
            if is_it(&session) {
                return session;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {}", self.session(id).await)
    }

    /// Onboards one platform, so that the ends of jobs are reported by now.
    async fn warm_up(&self) {
        self.ended(&self.onboard("first").await).await;
    }

    /// The time from the end of its job to the end of the step that waited for it.
    async fn heard_after(&self, session: &Value) -> TimeDelta {
        let path = format!("/api/v1/provision/jobs/{}", session["provisionJobId"].as_str().unwrap());
        let job = self.provisioning.get(&path).await.expect(200);
        time(&session["steps"][1], "completedAt") - time(&job, "completedAt")
    }
}

fn waits_for_the_job(session: &Value) -> bool {
    let waiting = session["steps"][1]["waitingFor"].as_str().unwrap_or_default();
    waiting.starts_with("provisioning job") && session["steps"][2]["status"] == "completed"
}

#[tokio::test]
async fn a_job_of_three_seconds_is_asked_for_a_few_times() {
    let (asked, fault_injector) = counted(false);
    let system = System::start_interposed(Some(fault_injector), None).await;
    system.warm_up().await;
    system.workers_take(Duration::from_secs(3)).await;
    asked.store(0, Ordering::SeqCst);
    let session = system.ended(&system.onboard("slow").await).await;
    assert_eq!(session["status"], "completed", "{session}");
    let (asked, after) = (asked.load(Ordering::SeqCst), system.heard_after(&session).await);
    println!("asked {asked} times; heard {after} after the end of the job");
    assert!(asked <= 3, "asked {asked} times");
    assert!(after < TimeDelta::seconds(1), "heard after {after}");
}

#[tokio::test]
async fn news_that_is_lost_costs_time_only() {
    let system = System::start().await;
    system.warm_up().await;
    let mut database = system.onboarding.db.connect_as_owner().await;
    // Whoever does not hold a saga cannot make it due sooner.
    let loses = "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER loses BEFORE UPDATE ON sagas FOR EACH ROW \
         WHEN (OLD.fence = NEW.fence AND NEW.next_run_at < OLD.next_run_at) EXECUTE FUNCTION lose()";
    database.batch_execute(loses).await.unwrap();
    system.workers_take(Duration::from_secs(1)).await;
    let session = system.ended(&system.onboard("slow").await).await;
    assert_eq!(session["status"], "completed", "{session}");
    let after = system.heard_after(&session).await;
    assert!(after > TimeDelta::seconds(1), "the news was not lost: heard after {after}");
    assert!(after < IN_ANY_CASE + TimeDelta::seconds(2), "heard after {after}");
}

#[tokio::test]
async fn a_stream_that_comes_back_tells_what_ended_meanwhile() {
    let system = System::start_relayed(None).await;
    system.warm_up().await;
    system.workers_take(Duration::from_secs(1)).await;
    let id = system.onboard("cut").await;
    let waiting = system.session_that(&id, waits_for_the_job).await;
    system.relay().cut();
    let path = format!("/api/v1/provision/jobs/{}", waiting["provisionJobId"].as_str().unwrap());
    while system.provisioning.get(&path).await.expect(200)["status"] != "COMPLETED" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let step = &system.session(&id).await["steps"][1];
    assert_eq!(step["status"], "in_progress", "nobody could tell it: {step}");
    system.relay().mend();
    let session = system.ended(&id).await;
    assert_eq!(session["status"], "completed", "{session}");
    let step = &session["steps"][1];
    let took = time(step, "completedAt") - time(step, "startedAt");
    assert!(took < IN_ANY_CASE, "it was asked again because time had passed: {took}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_ends_between_the_ask_and_the_wait_is_not_missed() {
    let (asked, counts) = counted(false);
    let armed = Arc::new(AtomicBool::new(false));
    let arm = Arc::clone(&armed);
    let fault_injector: FaultInjector = Arc::new(move |now| {
        let waits = now.step == "provision_infra" && now.result == Some(AttemptResult::Waiting);
        if waits && now.phase == StepPhase::AfterEffect && arm.swap(false, Ordering::SeqCst) {
            // Less than the lease.
            thread::sleep(Duration::from_millis(800));
        }
        counts(now)
    });
    let system = System::start_interposed(Some(fault_injector), None).await;
    system.warm_up().await;
    asked.store(0, Ordering::SeqCst);
    armed.store(true, Ordering::SeqCst);
    let session = system.ended(&system.onboard("between").await).await;
    assert_eq!(session["status"], "completed", "{session}");
    assert!(!armed.load(Ordering::SeqCst), "it never waited");
    let step = &session["steps"][1];
    let took = time(step, "completedAt") - time(step, "startedAt");
    assert!(took < TimeDelta::seconds(3), "{took}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_job_that_another_process_ends_is_heard_of() {
    // The one that onboarding asks never gets further than to claim a job.
    let dies: FaultInjector = Arc::new(|now| match now.phase {
        StepPhase::BeforeIntent => Fault::Crash,
        _ => Fault::None,
    });
    let system = System::start_interposed(None, Some(dies)).await;
    let set = json!({ "database": { "url": system.provisioning.db.app_url }, "service": {
        "data_dir": system.folder.path(),
        "registry": { "url": format!("http://{}", system.registry.grpc) }, "engine": quick_engine(),
    }});
    let (db, keys) = (testkit::TestDb::of::<FakeProvisioning>().await, system.provisioning.keys.clone());
    let _other = TestService::start_on::<FakeProvisioning>(db, keys, set).await;
    let session = system.ended(&system.onboard("elsewhere").await).await;
    assert_eq!(session["status"], "completed", "{session}");
    let after = system.heard_after(&session).await;
    assert!(after < TimeDelta::seconds(1), "heard after {after}");
}

#[tokio::test]
async fn undoing_waits_for_the_job_without_asking_often() {
    let (asked, fault_injector) = counted(true);
    let system = System::start_interposed(Some(fault_injector), None).await;
    system.warm_up().await;
    system.workers_take(Duration::from_secs(3)).await;
    let id = system.onboard("undone").await;
    system.session_that(&id, waits_for_the_job).await;
    let path = format!("/api/v1/onboarding/{id}");
    system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    let undone = |session: &Value| {
        session["steps"][2]["status"] == "compensated" && session["steps"][1]["waitingFor"].is_string()
    };
    let session = system.session_that(&id, undone).await;
    let waiting = session["steps"][1]["waitingFor"].as_str().unwrap();
    assert!(waiting.starts_with("provisioning job"), "{waiting}");
    let session = system.ended(&id).await;
    assert_eq!(session["status"], "cancelled", "{session}");
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 3, "asked {asked} times");
}
