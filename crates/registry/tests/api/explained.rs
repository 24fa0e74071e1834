//! Explanations from the registry's own state. The tests with all services running, `onboarding` and `causes`, cover
//! the explanations that involve other services.

use domain::Kind;
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};

use crate::{
    feature::billing,
    stack::Stack,
    templates::{Behavior, Templates},
    world::{World, text},
};

impl World {
    async fn explanation(&self, path: &str) -> (bool, Vec<String>, String) {
        let body = self.get(path).await.expect(200);
        let chain = body["chain"].as_array().unwrap();
        assert_eq!(chain.last().unwrap()["says"], body["because"]);
        let objects = chain.iter().map(|link| text(link, "thing")).collect();
        (body["ready"].as_bool().unwrap(), objects, text(&body, "because"))
    }
}

#[tokio::test]
async fn only_operators_get_the_explanation_of_a_deleted_platform() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let own = format!("/api/v1/platforms/{platform}");
    let explain = format!("{own}/explain");
    assert_eq!(world.explanation(&explain).await, (true, vec!["platform".into()], "it is active".into()));
    world.post(&format!("{own}/suspend"), json!({ "reason": "unpaid" })).await.expect(200);
    let (ready, _, because) = world.explanation(&explain).await;
    assert!(!ready && because.ends_with(": unpaid"), "{because}");

    world.post(&format!("{own}/delete"), json!({})).await.expect(200);
    world.get(&explain).await.expect_error(404, "NOT_FOUND");
    let (ready, objects, _) = world.explanation(&format!("{explain}?includeDeleted=true")).await;
    assert_eq!((ready, objects), (false, vec!["platform".into(), "request".into()]), "no job removes it yet");
    let scope = json!({ "platform": platform });
    let path = format!("{explain}?includeDeleted=true");
    world.send_as(&scope, Method::GET, &path, &Value::Null).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn running_feature_is_ready_and_explains_its_last_failure() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let path = format!("/api/v1/platforms/{}/entities/{}/features/billing", feature.platform, feature.entity);
    let explain = format!("{path}/explain");
    world.get(&explain).await.expect_error(404, "NOT_FOUND");
    let job = feature.activate(&world, "1.0.0").await;
    let (ready, objects, because) = world.explanation(&explain).await;
    assert_eq!((ready, objects), (false, vec!["feature".into(), "request".into()]));
    assert!(because.contains(&job), "{because}");
    feature.complete(&world, &job, "1.0.0").await;
    let ran = (true, vec!["feature".to_owned()], "it is active".to_owned());
    assert_eq!(world.explanation(&explain).await, ran);
    let id = text(&world.get(&path).await.expect(200), "id");
    assert_eq!(
        world.explanation(&explain.replace("billing", &id)).await,
        ran,
        "also by the id of the activation"
    );
    world.get(&format!("{explain}?env=dev")).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn only_services_get_the_explanation_of_a_deleted_stack() {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let stack = Stack::new(&world, &platform, "main").await;
    stack.fail(&world, "worker: no quota").await;
    let failed = (false, vec!["stack".to_owned()], "it failed: worker: no quota".to_owned());
    assert_eq!(world.explanation(&stack.path("/explain")).await, failed);

    world.delete(&stack.path("")).await.expect(202);
    world.get(&stack.path("/explain")).await.expect_error(404, "NOT_FOUND");
    let request = r::ExplainStackRequest { platform_id: platform, stack_id: stack.id };
    let explain = async |process| {
        world.call(process, None, request.clone(), async |mut c, m| c.explain_stack(m).await).await
    };
    let explanation = explain("onboarding").await.unwrap().explanation.unwrap();
    let objects: Vec<&str> = explanation.chain.iter().map(|link| link.thing.as_str()).collect();
    assert_eq!((explanation.ready, objects), (false, vec!["stack", "request"]));
    assert_eq!(explain("provisioning").await.unwrap_err().kind(), Kind::Forbidden);
}
