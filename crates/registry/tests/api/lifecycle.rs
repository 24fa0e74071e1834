//! The lifecycle of a platform.

use std::time::Duration;

use domain::platform::{PlatformEvent, PlatformStatus};
use serde_json::{Value, json};

use crate::world::{World, text};

#[tokio::test]
async fn every_verb_in_every_status_follows_the_transition_table() {
    let world = World::start().await;
    let id = world.platform("shop").await;
    let verbs = [
        ("suspend", PlatformEvent::Suspend),
        ("restore", PlatformEvent::Restore),
        ("cancel", PlatformEvent::Cancel),
        ("delete", PlatformEvent::Delete),
    ];
    for from in PlatformStatus::ALL.iter().filter(|status| **status != PlatformStatus::Deleted) {
        for (verb, event) in verbs {
            let reset =
                format!("UPDATE platforms SET status = '{from}', deleted_at = NULL WHERE id = '{id}'");
            world.sql(&reset).await;
            let answer =
                world.post(&format!("/api/v1/platforms/{id}/{verb}"), json!({ "reason": "why" })).await;
            match from.after(event) {
                Ok(to) => assert_eq!(answer.expect(200)["status"], to.as_str(), "{from} {verb}"),
                Err(error) => {
                    let details = answer.expect_error(409, "INVALID_TRANSITION");
                    assert_eq!(Value::Object(error.details().clone()), details, "{from} {verb}");
                }
            }
        }
    }
}

#[tokio::test]
async fn patched_status_acts_like_the_verb() {
    let world = World::start().await;
    let path = format!("/api/v1/platforms/{}", world.platform("shop").await);
    let status = |status: &'static str| world.patch(&path, json!({ "status": status }));
    status("active").await.expect_error(409, "INVALID_TRANSITION");
    status("deleted").await.expect_error(409, "INVALID_TRANSITION");
    let suspended = status("suspended").await.expect(200);
    assert!(suspended["suspendedAt"].is_string());
    assert!(status("active").await.expect(200)["suspendedAt"].is_null());
    status("suspended").await.expect(200);
    assert_eq!(status("deleted").await.expect(200)["status"], "deleted");
    world.get(&path).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn lifecycle_events_are_listed_newest_first() {
    let world = World::start().await;
    let path = format!("/api/v1/platforms/{}", world.platform("shop").await);
    let done = world.post(&format!("{path}/suspend"), json!({ "reason": "unpaid" })).await.expect(200);
    assert_eq!(done["suspensionReason"], "unpaid");
    world.post(&format!("{path}/restore"), Value::Null).await.expect(200);
    let done = world.post(&format!("{path}/cancel"), json!({ "reason": "moves" })).await.expect(200);
    assert_eq!(done["cancellationReason"], "moves");
    assert!(done["cancelledAt"].is_string());
    world.post(&format!("{path}/suspend"), json!({})).await.expect_error(409, "INVALID_TRANSITION");

    let list = world.get(&format!("{path}/lifecycle")).await.expect(200);
    let events: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["fromStatus"].clone(), e["toStatus"].clone(), e["reason"].clone()))
        .collect();
    let expected = [
        (json!("active"), json!("pending_cancellation"), json!("moves")),
        (json!("suspended"), json!("active"), Value::Null),
        (json!("active"), json!("suspended"), json!("unpaid")),
        (Value::Null, json!("active"), Value::Null),
    ];
    assert_eq!(events, expected);
    assert_eq!(list["pagination"]["total"], 4);
    assert_eq!(
        (&list["data"][0]["triggeredBy"], &list["data"][0]["triggerType"]),
        (&json!("operator"), &json!("operator"))
    );
    for (body, field) in [(json!({ "reason": 1 }), "reason"), (json!({ "why": "x" }), "why")] {
        let paths = crate::world::faults(world.post(&format!("{path}/restore"), body).await);
        assert_eq!(paths, [field]);
    }
}

#[tokio::test]
async fn delete_with_infrastructure_queues_a_job() {
    let world = World::start().await;
    let (deleted, deprovisioned) = (world.platform("deleted").await, world.platform("deprovisioned").await);
    world.delete(&format!("/api/v1/platforms/{deleted}")).await.expect(200);
    world.post(&format!("/api/v1/platforms/{deprovisioned}/suspend"), json!({})).await.expect(200);
    let answer =
        world.post(&format!("/api/v1/platforms/{deprovisioned}/delete"), json!({})).await.expect(200);
    assert_eq!((&answer["id"], &answer["status"]), (&json!(deprovisioned), &json!("deleted")));
    let jobs = |id: &str| {
        format!(
            "SELECT count(*) FROM outbox WHERE destination = 'provisioning' AND type = 'provisioning.job' \
             AND data->>'type' = 'DEPROVISION_PLATFORM' AND data->>'platformId' = '{id}'"
        )
    };
    assert_eq!((world.number(&jobs(&deprovisioned)).await, world.number(&jobs(&deleted)).await), (1, 0));
}

/// Provisioning is down. Undelivered events are reported only after a while.
#[tokio::test]
async fn ready_reports_events_that_wait_too_long() {
    let world = World::start().await;
    let id = world.platform("late").await;
    for verb in ["suspend", "delete"] {
        world.post(&format!("/api/v1/platforms/{id}/{verb}"), json!({})).await.expect(200);
    }
    assert_eq!(world.get("/ready").await.expect(200)["checks"]["outbox"], "ok");
    world.sql("UPDATE outbox SET time = time - interval '1 min'").await;
    let ready = world.get("/ready").await.expect(200);
    let check = ready["checks"]["outbox"].as_str().unwrap();
    assert!(check.starts_with("1 waiting to be delivered, the oldest for 6"), "{check}");
}

#[tokio::test]
async fn cancelled_platform_ends_with_its_period() {
    let world = World::start_with(json!({ "service": { "cancellation_period": "1ms" } })).await;
    let (ends, restored) = (world.platform("ends").await, world.platform("restored").await);
    for id in [&ends, &restored] {
        world.post(&format!("/api/v1/platforms/{id}/cancel"), json!({})).await.expect(200);
    }
    world.post(&format!("/api/v1/platforms/{restored}/restore"), json!({})).await.expect(200);
    tokio::time::sleep(Duration::from_millis(5)).await;
    // The worker runs when it starts.
    let _replica = world.replica(json!({})).await;
    let path = format!("/api/v1/platforms/{ends}");
    for _ in 0..100 {
        if world.get(&path).await.expect(200)["status"] == "cancelled" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let list = world.get(&format!("{path}/lifecycle")).await.expect(200);
    let newest = &list["data"][0];
    assert_eq!(text(newest, "toStatus"), "cancelled");
    assert_eq!(
        (text(newest, "triggeredBy"), text(newest, "triggerType")),
        ("service:registry".into(), "system".into())
    );
    let other = world.get(&format!("/api/v1/platforms/{restored}")).await.expect(200);
    assert_eq!(other["status"], "active");
}
