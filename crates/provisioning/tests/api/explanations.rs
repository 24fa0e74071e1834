//! Explanations of jobs: the root cause in one sentence.

use fake_provider::{Action, Fault, Operation, Rule, Stage};
use provisioning::providers::ResourceKind;
use serde_json::{Value, json};

use crate::{jobs::refuse, system::System};

impl System {
    async fn explanation(&self, job: &str) -> Value {
        self.provisioning.get(&format!("/api/v1/provision/jobs/{job}/explain")).await.expect(200)
    }

    /// Waits until the root cause contains all of `words` and returns the explanation.
    async fn because(&self, job: &str, words: &[&str]) -> Value {
        for _ in 0..1500 {
            let explanation = self.explanation(job).await;
            let because = explanation["because"].as_str().unwrap().to_owned();
            if words.iter().all(|word| because.contains(word)) {
                assert_eq!(explanation["chain"].as_array().unwrap().last().unwrap()["says"], because);
                return explanation;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("never {words:?}: {}", self.explanation(job).await)
    }
}

fn rule(action: Action, operation: Operation, kind: ResourceKind) -> Rule {
    Rule::new(action).on(operation).kind(kind)
}

#[tokio::test]
async fn explanation_contains_the_error_of_the_provider() {
    let system = System::start().await;
    let platform = system.platform("explained").await;
    let later = Action::Fail(Fault::Retryable("the provider is out to lunch".to_owned()));
    system.provider.follow([rule(later, Operation::Ensure, ResourceKind::D1)]).await.unwrap();
    let job = system.provision(&platform).await;
    system.because(&job, &["has failed", "will be retried at", "the provider is out to lunch"]).await;

    let hangs = Action::Hang { stage: Stage::BeforeEffect, duration: None };
    system.provider.follow([rule(hangs, Operation::Ensure, ResourceKind::Worker)]).await.unwrap();
    let explanation = system.because(&job, &["has been in progress since"]).await;
    assert_eq!(
        (&explanation["ready"], &explanation["chain"][0]["status"]),
        (&json!(false), &json!("RUNNING"))
    );

    system.provider.follow([]).await.unwrap();
    let explanation = system.because(&job, &["it is completed"]).await;
    assert_eq!(explanation["ready"], true);
}

#[tokio::test]
async fn explanation_names_the_required_operator_action() {
    let system = System::start().await;
    let platform = system.platform("people").await;
    let hangs = Action::Hang { stage: Stage::BeforeEffect, duration: None };
    system.provider.follow([rule(hangs, Operation::Ensure, ResourceKind::Worker)]).await.unwrap();
    let job = system.provision(&platform).await;
    system.because(&job, &["in progress"]).await;
    let path = format!("/api/v1/provision/jobs/{job}/pause");
    system.provisioning.post(&path, Value::Null).await.expect(200);
    system.because(&job, &["it has been paused since"]).await;
    system.provisioning.post(&path.replace("pause", "resume"), Value::Null).await.expect(200);
    system.provider.follow([]).await.unwrap();
    system.because(&job, &["it is completed"]).await;

    system.provider.follow([refuse(ResourceKind::DnsRecord, Operation::Destroy)]).await.unwrap();
    let body = json!({ "platformId": platform });
    let queued = system.provisioning.post("/api/v1/provision/platform/deprovision", body).await.expect(202);
    let job = queued["jobId"].as_str().unwrap();
    system
        .because(
            job,
            &["step dns", "an operator must retry or discard it", "quota of the account is used up"],
        )
        .await;
    let path = format!("/api/v1/provision/jobs/{job}/discard");
    system.provisioning.post(&path, Value::Null).await.expect(200);
    system.because(job, &["it was undone", "discarded by operator"]).await;
}

#[tokio::test]
async fn explanation_names_an_unavailable_registry() {
    let system = System::start().await;
    let platform = system.platform("alone").await;
    system.registry.stop().await;
    let job = system.provision(&platform).await;
    let explanation = system.because(&job, &["SERVICE_UNAVAILABLE", "registry"]).await;
    assert_eq!(explanation["chain"][0]["status"], "RUNNING", "{explanation}");
}

#[tokio::test]
async fn services_get_the_same_explanation() {
    let system = System::start().await;
    let platform = system.platform("same").await;
    let job = system.provision(&platform).await;
    system.job_in(&job, "COMPLETED").await;
    let (client, ctx) = (system.provisioning.client("onboarding"), system.provisioning.ctx("onboarding"));
    let explanation = rpc::explain::job(&client, &ctx, &job).await;
    assert_eq!(serde_json::to_value(explanation).unwrap(), system.explanation(&job).await);
    assert_eq!(rpc::explain::job(&client, &ctx, "01a1fdf5-8a12-72d5-b300-abb398c783da").await, None);
}
