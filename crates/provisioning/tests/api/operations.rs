//! Operators pause, resume, discard and follow jobs.

use std::time::Duration;

use database::tables::audit_log;
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;
use fake_provider::{Action, Operation, Rule, Stage};
use provisioning::providers::ResourceKind;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{jobs::refuse, system::System};

/// Makes the provider hang on every worker until its script changes.
async fn block_workers(system: &System) {
    let hang = Action::Hang { stage: Stage::BeforeEffect, duration: None };
    let rule = Rule::new(hang).on(Operation::Ensure).kind(ResourceKind::Worker);
    system.provider.follow([rule]).await.unwrap();
}

async fn apply(system: &System, job: &str, verb: &str) -> testkit::Response {
    system.provisioning.post(&format!("/api/v1/provision/jobs/{job}/{verb}"), Value::Null).await
}

/// Event of a stream.
#[derive(Debug, Clone)]
struct Event {
    id: i64,
    name: String,
    data: Value,
}

/// Follows a job after the event `last` until the stream ends or `enough` returns true.
async fn follow(
    system: &System,
    job: &str,
    last: Option<i64>,
    enough: impl Fn(&Event) -> bool,
) -> Vec<Event> {
    let mut request =
        system.provisioning.request(Method::GET, &format!("/api/v1/provision/jobs/{job}/events"));
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut text, mut events) = (String::new(), Vec::new());
    while let Some(piece) =
        tokio::time::timeout(Duration::from_secs(20), response.chunk()).await.unwrap().unwrap()
    {
        text += std::str::from_utf8(&piece).unwrap();
        while let Some((one, rest)) = text.clone().split_once("\n\n") {
            rest.clone_into(&mut text);
            if one.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let line = one.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
                line.unwrap_or_else(|| panic!("no {name} in {one}")).to_owned()
            };
            let event = Event {
                id: field("id").parse().unwrap(),
                name: field("event"),
                data: serde_json::from_str(&field("data")).unwrap(),
            };
            events.push(event.clone());
            if enough(&event) {
                return events;
            }
        }
    }
    events
}

#[tokio::test]
async fn job_can_be_paused_and_resumed() {
    let system = System::start().await;
    block_workers(&system).await;
    let platform = system.platform("resting").await;
    let job = system.provision(&platform).await;
    system.job_in(&job, "RUNNING").await;
    let paused = apply(&system, &job, "pause").await.expect(200);
    assert!(paused["pausedAt"].is_string(), "{paused}");
    apply(&system, &job, "pause").await.expect_error(409, "INVALID_TRANSITION");
    // The running step completes; the next one does not begin.
    system.provider.follow([]).await.unwrap();
    let is_paused = |job: &Value| {
        let steps = job["steps"].as_array().unwrap();
        steps.iter().all(|step| step["status"] != "in_progress")
            && steps.iter().any(|step| step["status"] == "pending")
    };
    for _ in 0..1000 {
        if is_paused(&system.job(&job).await) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let paused = system.job(&job).await;
    assert!(paused["status"] == "RUNNING" && is_paused(&paused), "{paused}");
    assert_eq!(apply(&system, &job, "resume").await.expect(200)["pausedAt"], Value::Null);
    system.job_in(&job, "COMPLETED").await;
    for verb in ["pause", "resume", "discard"] {
        apply(&system, &job, verb).await.expect_error(409, "INVALID_TRANSITION");
    }
    let mut connection = system.provisioning.db.connect().await;
    let audited = audit_log::table
        .filter(audit_log::action.eq_any(["job.paused", "job.resumed"]))
        .count()
        .get_result::<i64>(&mut connection)
        .await;
    assert_eq!(audited.unwrap(), 2);
}

#[tokio::test]
async fn failed_job_can_be_discarded() {
    let system = System::start().await;
    let platform = system.platform("left").await;
    system.job_in(&system.provision(&platform).await, "COMPLETED").await;
    system.provider.follow([refuse(ResourceKind::DnsRecord, Operation::Destroy)]).await.unwrap();
    let body = json!({ "platformId": platform });
    let queued = system.provisioning.post("/api/v1/provision/platform/deprovision", body).await.expect(202);
    let job = queued["jobId"].as_str().unwrap();
    system.job_in(job, "FAILED").await;
    let discarded = apply(&system, job, "discard").await.expect(200);
    assert_eq!(discarded["status"], "ROLLED_BACK");
    let why = discarded["error"].as_str().unwrap();
    assert!(why.starts_with("discarded by operator; it was stuck: dns: "), "{why}");
    apply(&system, job, "retry").await.expect_error(409, "INVALID_TRANSITION");
    assert_eq!(
        system.resources(&platform).await.len(),
        2,
        "resources that were not removed must stay registered"
    );
}

#[tokio::test]
async fn follower_receives_each_change_until_the_end() {
    let system = System::start().await;
    block_workers(&system).await;
    let platform = system.platform("followed").await;
    let job = system.provision(&platform).await;
    system.job_in(&job, "RUNNING").await;
    let first = follow(&system, &job, None, |_| true).await.remove(0);
    assert_eq!((first.name.as_str(), &first.data["status"]), ("change", &json!("RUNNING")));
    // After a disconnect, the follower receives the missed changes and the end.
    system.provider.follow([]).await.unwrap();
    let events = follow(&system, &job, Some(first.id), |_| false).await;
    assert!(events.iter().all(|event| event.id > first.id));
    assert!(events.is_sorted_by(|a, b| a.id < b.id), "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(last.name, "end");
    assert_eq!(last.data, system.job(&job).await, "an event must equal the response of GET");
    assert_eq!(last.data["status"], "COMPLETED");

    let path = format!("/api/v1/provision/jobs/{job}/events");
    let seen = last.id.to_string();
    let none = system.provisioning.send(Method::GET, &path, &Value::Null, &[("Last-Event-ID", &seen)]).await;
    assert_eq!(none.status, 204);
    let invalid = system.provisioning.send(Method::GET, &path, &Value::Null, &[("Last-Event-ID", "x")]).await;
    invalid.expect_error(400, "VALIDATION_ERROR");
    let missing = "/api/v1/provision/jobs/01a1fdf5-8a12-72d5-b300-abb398c783da/events";
    system.provisioning.get(missing).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn follow_streams_end_when_the_process_stops() {
    let system = System::start().await;
    block_workers(&system).await;
    let platform = system.platform("stopping").await;
    let job = system.provision(&platform).await;
    system.job_in(&job, "RUNNING").await;
    let followed = follow(&system, &job, None, |_| false);
    let stopped = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        system.provisioning.stop().await;
    };
    let (events, ()) = tokio::join!(followed, stopped);
    assert!(events.iter().all(|event| event.name == "change"), "{events:?}");
    assert!(!events.is_empty());
}
