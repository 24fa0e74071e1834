//! Superseded jobs do not delay newer ones.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use fake_provider::Script;
use saga::{AttemptResult, Fault, FaultInjector, StepPhase};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use crate::{
    shop::Shop,
    system::{RegistrySystem, System},
};

const ENTITIES: usize = 4;
const ROUNDS: usize = 16;

/// Number of times that each job tried to acquire its lock and had to wait.
type Waits = Arc<Mutex<BTreeMap<Uuid, usize>>>;

async fn counting() -> (System, Waits) {
    let waits = Waits::default();
    let seen = Arc::clone(&waits);
    let fault_injector: FaultInjector = Arc::new(move |injection| {
        if (injection.step, injection.undo, injection.phase) == ("begin", false, StepPhase::AfterEffect) {
            *seen.lock().unwrap().entry(injection.saga.id).or_default() +=
                usize::from(injection.result == Some(AttemptResult::Waiting));
        }
        Fault::None
    });
    (RegistrySystem::start().await.provision(Some(fault_injector)).await, waits)
}

async fn all_jobs(system: &System) -> Vec<Value> {
    let page = system.provisioning.get("/api/v1/provision/jobs?limit=100").await.expect(200);
    page["data"].as_array().unwrap().clone()
}

/// Several entities concurrently change one feature many times and end with the same version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_jobs_do_not_wait_for_the_lock() {
    let (system, waits) = counting().await;
    let latency = Duration::from_millis(40);
    system.provider.set_script(Script { latency, ..Script::default() }).await.unwrap();
    let platform = system.platform("acme").await;
    let mut shops = Vec::new();
    for n in 0..ENTITIES {
        shops.push(Shop::in_platform(&system, &platform, &format!("t{n}")).await);
    }
    for round in 0..ROUNDS {
        for shop in &shops {
            // Some requests are rejected in the current state, which does not matter here.
            let mut body = json!({ "featureId": "billing", "environment": "prod" });
            let path = if round % 4 == 3 { "features/deactivate" } else { "features/activate" };
            if round % 4 != 3 {
                body["version"] = json!(format!("1.{round}.0"));
            }
            system.registry.post(&shop.path(path), body).await;
        }
    }
    let start = Instant::now();
    let mut last = Vec::new();
    for shop in &shops {
        last.push(shop.activate("2.0.0").await);
    }
    for shop in &shops {
        shop.active("2.0.0").await;
    }
    eprintln!("active {:?} after the last request", start.elapsed());
    for _ in 0..1000 {
        if all_jobs(&system)
            .await
            .iter()
            .all(|job| !matches!(job["status"].as_str(), Some("QUEUED" | "PENDING" | "RUNNING")))
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (jobs, waits) = (all_jobs(&system).await, waits.lock().unwrap().clone());
    let is_superseded = |job: &&Value| job["error"].as_str().is_some_and(|why| why.contains("newer request"));
    let superseded: Vec<_> = jobs.iter().filter(is_superseded).collect();
    assert!(superseded.len() >= ROUNDS, "{} of {} jobs are superseded", superseded.len(), jobs.len());
    let waited = |job: &Value| waits.get(&job["id"].as_str().unwrap().parse().unwrap()).copied().unwrap_or(0);
    // A job may have waited once before it was superseded; it is then woken and ends.
    let most = superseded.iter().map(|job| waited(job)).max().unwrap();
    assert!(most <= 2, "a superseded job waited {most} times");
    let all: usize = waits.values().sum();
    eprintln!("{} jobs, {} superseded, {all} waits", jobs.len(), superseded.len());
    assert!(all <= jobs.len() + ENTITIES * 2, "{} jobs waited {all} times", jobs.len());
}

/// The end of a job wakes only one of the jobs that wait for the feature.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_jobs_are_woken_one_at_a_time() {
    const MANY: usize = 24;
    let (system, waits) = counting().await;
    let latency = Duration::from_millis(20);
    system.provider.set_script(Script { latency, ..Script::default() }).await.unwrap();
    let platform = system.platform("acme").await;
    let mut shops = Vec::new();
    for n in 0..MANY {
        shops.push(Shop::in_platform(&system, &platform, &format!("t{n}")).await);
    }
    let start = Instant::now();
    for shop in &shops {
        shop.activate("1.0.0").await;
    }
    for shop in &shops {
        shop.active("1.0.0").await;
    }
    let all: usize = waits.lock().unwrap().values().sum();
    eprintln!("{MANY} jobs, {all} waits, {:?}", start.elapsed());
    assert!(all <= MANY * 2, "{MANY} jobs waited {all} times");
}
