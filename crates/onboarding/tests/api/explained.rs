//! Explanations of onboardings across services, and following, pausing and resuming one.

use std::time::Duration;

use fake_provider::{Action, Fault, Operation, Rule};
use provisioning::providers::ResourceKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::System;

impl System {
    /// Waits for an explanation whose root cause contains all of `words`.
    async fn because(&self, id: &str, words: &[&str]) -> Value {
        self.explained(id, |explanation| {
            let because = explanation["because"].as_str().unwrap();
            words.iter().all(|word| because.contains(word))
        })
        .await
    }

    /// Waits for an explanation that satisfies the condition.
    async fn explained(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/onboarding/{id}/explain");
        for _ in 0..1500 {
            let explanation = self.onboarding.get(&path).await.expect(200);
            if condition(&explanation) {
                return explanation;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {}", self.onboarding.get(&path).await.body)
    }

    /// Makes the provider fail for databases.
    async fn fail_databases(&self) {
        let later = Action::Fail(Fault::Retryable("the provider is out to lunch".to_owned()));
        let rule = Rule::new(later).on(Operation::Ensure).kind(ResourceKind::D1);
        self.provider.follow([rule]).await.unwrap();
    }
}

fn objects(explanation: &Value) -> Vec<&str> {
    explanation["chain"].as_array().unwrap().iter().map(|link| link["thing"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn root_cause_in_another_service_is_reported() {
    let system = System::start().await;
    system.fail_databases().await;
    let id = system.onboard("explained").await;
    system.because(&id, &["the provider is out to lunch"]).await;
    // The job may fail before the step has seen it for the first time.
    let waits = |explanation: &Value| {
        explanation["chain"][0]["says"].as_str().unwrap().contains("waits for provisioning job")
    };
    let explanation = system.explained(&id, waits).await;
    assert!(
        explanation["because"].as_str().unwrap().contains("the provider is out to lunch"),
        "{explanation}"
    );
    assert_eq!(objects(&explanation), ["onboarding", "job"]);
    assert_eq!(
        (&explanation["ready"], &explanation["chain"][0]["status"]),
        (&json!(false), &json!("in_progress"))
    );

    system.provisioning.stop().await;
    let explanation = system.because(&id, &["provisioning cannot be reached"]).await;
    assert_eq!(objects(&explanation), ["onboarding", "service"]);
}

#[tokio::test]
async fn ended_onboarding_explains_its_result() {
    let system = System::start().await;
    let id = system.onboard("good").await;
    system.wait_for_end(&id).await;
    assert_eq!(system.because(&id, &["it is completed"]).await["ready"], true);

    let refuses = Action::Fail(Fault::Permanent("quota of the account is used up".to_owned()));
    let rule = Rule::new(refuses).on(Operation::Ensure).kind(ResourceKind::D1);
    system.provider.follow([rule]).await.unwrap();
    let id = system.onboard("bad").await;
    system.wait_for_end(&id).await;
    let explanation = system.because(&id, &["it was undone", "quota of the account is used up"]).await;
    assert_eq!((&explanation["ready"], objects(&explanation)), (&json!(false), vec!["onboarding"]));
}

#[tokio::test]
async fn paused_onboarding_resumes_and_is_followed_to_its_end() {
    let system = System::start().await;
    system.fail_databases().await;
    let id = system.onboard("followed").await;
    let path = format!("/api/v1/onboarding/{id}");
    let followed = system.onboarding.request(Method::GET, &format!("{path}/events")).send();
    let followed = async { followed.await.unwrap().text().await.unwrap() };
    let controlled = async {
        system.because(&id, &["the provider is out to lunch"]).await;
        let paused = system.onboarding.post(&format!("{path}/pause"), Value::Null).await.expect(200);
        assert!(paused["pausedAt"].is_string(), "{paused}");
        system.because(&id, &["it has been paused since"]).await;
        system.provider.follow([]).await.unwrap();
        system.onboarding.post(&format!("{path}/resume"), Value::Null).await.expect(200);
        system.wait_for_end(&id).await
    };
    let (events, onboarding) = tokio::join!(followed, controlled);
    system.assert_complete(&onboarding).await;
    assert!(events.contains("event: change\n"), "{events}");
    let last = events.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert!(last.contains("event: end\n"), "{last}");
    assert_eq!(serde_json::from_str::<Value>(data).unwrap(), onboarding);
    system
        .onboarding
        .post(&format!("{path}/discard"), Value::Null)
        .await
        .expect_error(409, "INVALID_TRANSITION");
}
