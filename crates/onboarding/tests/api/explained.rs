//! Why an onboarding is not done, over the border to provisioning; and following and steering one.

use std::time::Duration;

use fake_provider::{Action, Fault, Operation, Rule};
use provisioning::providers::ResourceKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::System;

impl System {
    /// The explanation, as soon as its root cause holds all of `words`.
    async fn because(&self, id: &str, words: &[&str]) -> Value {
        self.explained(id, |told| {
            let because = told["because"].as_str().unwrap();
            words.iter().all(|word| because.contains(word))
        })
        .await
    }

    /// The explanation, when it is the one that is waited for.
    async fn explained(&self, id: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/onboarding/{id}/explain");
        for _ in 0..1500 {
            let told = self.onboarding.get(&path).await.expect(200);
            if is_it(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {}", self.onboarding.get(&path).await.body)
    }

    async fn lunch(&self) {
        let later = Action::Fail(Fault::Retryable("the provider is out to lunch".to_owned()));
        let rule = Rule::new(later).on(Operation::Ensure).kind(ResourceKind::D1);
        self.provider.follow([rule]).await.unwrap();
    }
}

fn things(told: &Value) -> Vec<&str> {
    told["chain"].as_array().unwrap().iter().map(|link| link["thing"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_root_cause_is_told_over_the_border() {
    let system = System::start().await;
    system.lunch().await;
    let id = system.onboard("explained").await;
    system.because(&id, &["the provider is out to lunch"]).await;
    // The job may have failed before the step has heard of it at all.
    let waits =
        |told: &Value| told["chain"][0]["says"].as_str().unwrap().contains("waits for provisioning job");
    let told = system.explained(&id, waits).await;
    assert!(told["because"].as_str().unwrap().contains("the provider is out to lunch"), "{told}");
    assert_eq!(things(&told), ["onboarding", "job"]);
    assert_eq!((&told["ready"], &told["chain"][0]["status"]), (&json!(false), &json!("in_progress")));

    system.provisioning.stop().await;
    let told = system.because(&id, &["provisioning cannot be reached"]).await;
    assert_eq!(things(&told), ["onboarding", "service"]);
}

#[tokio::test]
async fn what_has_ended_says_how() {
    let system = System::start().await;
    let id = system.onboard("good").await;
    system.ended(&id).await;
    assert_eq!(system.because(&id, &["it is completed"]).await["ready"], true);

    let refuses = Action::Fail(Fault::Permanent("quota of the account is used up".to_owned()));
    let rule = Rule::new(refuses).on(Operation::Ensure).kind(ResourceKind::D1);
    system.provider.follow([rule]).await.unwrap();
    let id = system.onboard("bad").await;
    system.ended(&id).await;
    let told = system.because(&id, &["it was undone", "quota of the account is used up"]).await;
    assert_eq!((&told["ready"], things(&told)), (&json!(false), vec!["onboarding"]));
}

#[tokio::test]
async fn one_rests_and_goes_on_and_is_followed_to_its_end() {
    let system = System::start().await;
    system.lunch().await;
    let id = system.onboard("followed").await;
    let path = format!("/api/v1/onboarding/{id}");
    let followed = system.onboarding.request(Method::GET, &format!("{path}/events")).send();
    let followed = async { followed.await.unwrap().text().await.unwrap() };
    let steered = async {
        system.because(&id, &["the provider is out to lunch"]).await;
        let paused = system.onboarding.post(&format!("{path}/pause"), Value::Null).await.expect(200);
        assert!(paused["pausedAt"].is_string(), "{paused}");
        system.because(&id, &["it has been paused since"]).await;
        system.provider.follow([]).await.unwrap();
        system.onboarding.post(&format!("{path}/resume"), Value::Null).await.expect(200);
        system.ended(&id).await
    };
    let (events, session) = tokio::join!(followed, steered);
    system.assert_whole(&session).await;
    assert!(events.contains("event: change\n"), "{events}");
    let last = events.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert!(last.contains("event: end\n"), "{last}");
    assert_eq!(serde_json::from_str::<Value>(data).unwrap(), session);
    system
        .onboarding
        .post(&format!("{path}/discard"), Value::Null)
        .await
        .expect_error(409, "INVALID_TRANSITION");
}
