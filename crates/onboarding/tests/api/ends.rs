//! Reports of the ends of provisioning jobs to the steps that wait for them.

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

/// The retry interval of a waiting step.
const FALLBACK_INTERVAL: TimeDelta = TimeDelta::seconds(5);

/// Counts the runs of `provision_infra`, or of its undo. Each run requests the job once.
fn counted(undo: bool) -> (Arc<AtomicUsize>, FaultInjector) {
    let runs = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&runs);
    let fault_injector: FaultInjector = Arc::new(move |now| {
        if (now.undo, now.step, now.phase) == (undo, "provision_infra", StepPhase::AfterIntent) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    (runs, fault_injector)
}

fn time(object: &Value, field: &str) -> DateTime<Utc> {
    object[field].as_str().unwrap().parse().unwrap()
}

impl System {
    /// Makes the provider take this long for each worker.
    async fn workers_take(&self, duration: Duration) {
        let hangs = Action::Hang { stage: Stage::BeforeEffect, duration: Some(duration) };
        let rule = Rule::new(hangs).on(Operation::Ensure).kind(ResourceKind::Worker);
        self.provider.follow([rule]).await.unwrap();
    }

    async fn get_onboarding(&self, id: &str) -> Value {
        self.onboarding.get(&format!("/api/v1/onboarding/{id}")).await.expect(200)
    }

    /// Waits until the onboarding satisfies the condition, and returns it.
    async fn wait_for_onboarding(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1000 {
            let onboarding = self.get_onboarding(id).await;
            if condition(&onboarding) {
                return onboarding;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {}", self.get_onboarding(id).await)
    }

    /// Onboards one platform, so that the stream of ends is connected.
    async fn warm_up(&self) {
        self.wait_for_end(&self.onboard("first").await).await;
    }

    /// The time from the end of its job to the end of the step that waited for it.
    async fn report_delay(&self, onboarding: &Value) -> TimeDelta {
        let path = format!("/api/v1/provision/jobs/{}", onboarding["provisionJobId"].as_str().unwrap());
        let job = self.provisioning.get(&path).await.expect(200);
        time(&onboarding["steps"][1], "completedAt") - time(&job, "completedAt")
    }
}

fn waits_for_the_job(onboarding: &Value) -> bool {
    let waiting = onboarding["steps"][1]["waitingFor"].as_str().unwrap_or_default();
    waiting.starts_with("provisioning job") && onboarding["steps"][2]["status"] == "completed"
}

#[tokio::test]
async fn step_runs_a_few_times_during_a_job_of_three_seconds() {
    let (runs, fault_injector) = counted(false);
    let system = System::start_with_faults(Some(fault_injector), None).await;
    system.warm_up().await;
    system.workers_take(Duration::from_secs(3)).await;
    runs.store(0, Ordering::SeqCst);
    let onboarding = system.wait_for_end(&system.onboard("slow").await).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    let (runs, after) = (runs.load(Ordering::SeqCst), system.report_delay(&onboarding).await);
    println!("{runs} runs; notified {after} after the end of the job");
    assert!(runs <= 3, "{runs} runs");
    assert!(after < TimeDelta::seconds(1), "notified after {after}");
}

#[tokio::test]
async fn lost_report_only_delays_the_step() {
    let system = System::start().await;
    system.warm_up().await;
    let mut database = system.onboarding.db.connect_as_owner().await;
    // The trigger ignores updates that make a saga due sooner, except those of its runner.
    let ignore_reports = "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER loses BEFORE UPDATE ON sagas FOR EACH ROW \
         WHEN (OLD.fence = NEW.fence AND NEW.next_run_at < OLD.next_run_at) EXECUTE FUNCTION lose()";
    database.batch_execute(ignore_reports).await.unwrap();
    system.workers_take(Duration::from_secs(1)).await;
    let onboarding = system.wait_for_end(&system.onboard("slow").await).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    let after = system.report_delay(&onboarding).await;
    assert!(after > TimeDelta::seconds(1), "the report was not lost: notified after {after}");
    assert!(after < FALLBACK_INTERVAL + TimeDelta::seconds(2), "notified after {after}");
}

#[tokio::test]
async fn reconnected_stream_reports_jobs_that_ended_meanwhile() {
    let system = System::start_relayed(None).await;
    system.warm_up().await;
    system.workers_take(Duration::from_secs(1)).await;
    let id = system.onboard("cut").await;
    let waiting = system.wait_for_onboarding(&id, waits_for_the_job).await;
    system.relay().cut();
    let path = format!("/api/v1/provision/jobs/{}", waiting["provisionJobId"].as_str().unwrap());
    while system.provisioning.get(&path).await.expect(200)["status"] != "COMPLETED" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let step = &system.get_onboarding(&id).await["steps"][1];
    assert_eq!(step["status"], "in_progress", "the report cannot have arrived: {step}");
    system.relay().restore();
    let onboarding = system.wait_for_end(&id).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    let step = &onboarding["steps"][1];
    let took = time(step, "completedAt") - time(step, "startedAt");
    assert!(took < FALLBACK_INTERVAL, "the step ran because of its retry interval: {took}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn job_that_ends_before_the_wait_is_recorded_is_not_missed() {
    let (runs, counts) = counted(false);
    let armed = Arc::new(AtomicBool::new(false));
    let arm = Arc::clone(&armed);
    let fault_injector: FaultInjector = Arc::new(move |now| {
        let waits = now.step == "provision_infra" && now.result == Some(AttemptResult::Waiting);
        if waits && now.phase == StepPhase::AfterEffect && arm.swap(false, Ordering::SeqCst) {
            // Shorter than the lease.
            thread::sleep(Duration::from_millis(800));
        }
        counts(now)
    });
    let system = System::start_with_faults(Some(fault_injector), None).await;
    system.warm_up().await;
    runs.store(0, Ordering::SeqCst);
    armed.store(true, Ordering::SeqCst);
    let onboarding = system.wait_for_end(&system.onboard("between").await).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    assert!(!armed.load(Ordering::SeqCst), "it never waited");
    let step = &onboarding["steps"][1];
    let took = time(step, "completedAt") - time(step, "startedAt");
    assert!(took < TimeDelta::seconds(3), "{took}");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn end_of_a_job_in_another_process_is_reported() {
    // The process that onboarding calls never gets further than claiming a job.
    let crashes: FaultInjector = Arc::new(|now| match now.phase {
        StepPhase::BeforeIntent => Fault::Crash,
        _ => Fault::None,
    });
    let system = System::start_with_faults(None, Some(crashes)).await;
    let set = json!({ "database": { "url": system.provisioning.db.app_url }, "service": {
        "data_dir": system.folder.path(),
        "registry": { "url": format!("http://{}", system.registry.grpc) }, "engine": quick_engine(),
    }});
    let (db, keys) = (testkit::TestDb::of::<FakeProvisioning>().await, system.provisioning.keys.clone());
    let _other = TestService::start_on::<FakeProvisioning>(db, keys, set).await;
    let onboarding = system.wait_for_end(&system.onboard("elsewhere").await).await;
    assert_eq!(onboarding["status"], "completed", "{onboarding}");
    let after = system.report_delay(&onboarding).await;
    assert!(after < TimeDelta::seconds(1), "notified after {after}");
}

#[tokio::test]
async fn undo_waits_for_the_job_with_few_runs() {
    let (runs, fault_injector) = counted(true);
    let system = System::start_with_faults(Some(fault_injector), None).await;
    system.warm_up().await;
    system.workers_take(Duration::from_secs(3)).await;
    let id = system.onboard("undone").await;
    system.wait_for_onboarding(&id, waits_for_the_job).await;
    let path = format!("/api/v1/onboarding/{id}");
    system.onboarding.patch(&path, json!({ "status": "cancelled" })).await.expect(200);
    let undone = |onboarding: &Value| {
        onboarding["steps"][2]["status"] == "compensated" && onboarding["steps"][1]["waitingFor"].is_string()
    };
    let onboarding = system.wait_for_onboarding(&id, undone).await;
    let waiting = onboarding["steps"][1]["waitingFor"].as_str().unwrap();
    assert!(waiting.starts_with("provisioning job"), "{waiting}");
    let onboarding = system.wait_for_end(&id).await;
    assert_eq!(onboarding["status"], "cancelled", "{onboarding}");
    let runs = runs.load(Ordering::SeqCst);
    assert!(runs <= 3, "{runs} runs");
}
