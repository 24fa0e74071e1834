//! Why a thing is not ready, as far as the registry knows it itself. What other services say of it is tested where all of
//! them run, with everything that can be in the way: `onboarding`, `causes`.

use domain::Kind;
use reqwest::Method;
use rpc::registry as r;
use serde_json::{Value, json};

use crate::{
    feature::billing,
    stack::Stack,
    templates::{Answers, Templates},
    world::{World, text},
};

impl World {
    async fn told(&self, path: &str) -> (bool, Vec<String>, String) {
        let told = self.get(path).await.expect(200);
        let chain = told["chain"].as_array().unwrap();
        assert_eq!(chain.last().unwrap()["says"], told["because"]);
        let things = chain.iter().map(|link| text(link, "thing")).collect();
        (told["ready"].as_bool().unwrap(), things, text(&told, "because"))
    }
}

#[tokio::test]
async fn a_platform_says_how_it_stands_and_deleted_tells_operators_alone() {
    let world = World::start().await;
    let platform = world.platform("a").await;
    let own = format!("/api/v1/platforms/{platform}");
    let explain = format!("{own}/explain");
    assert_eq!(world.told(&explain).await, (true, vec!["platform".into()], "it is active".into()));
    world.post(&format!("{own}/suspend"), json!({ "reason": "unpaid" })).await.expect(200);
    let (ready, _, because) = world.told(&explain).await;
    assert!(!ready && because.ends_with("until it is restored: unpaid"), "{because}");

    world.post(&format!("{own}/delete"), json!({})).await.expect(200);
    world.get(&explain).await.expect_error(404, "NOT_FOUND");
    let (ready, things, _) = world.told(&format!("{explain}?includeDeleted=true")).await;
    assert_eq!(
        (ready, things),
        (false, vec!["platform".into(), "request".into()]),
        "nobody takes it down yet"
    );
    let scope = json!({ "platform": platform });
    let path = format!("{explain}?includeDeleted=true");
    world.send_as(&scope, Method::GET, &path, &Value::Null).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_feature_that_ran_is_ready_and_tells_why_its_last_change_failed() {
    let world = World::start().await;
    let feature = billing(&world).await;
    let path = format!("/api/v1/platforms/{}/entities/{}/features/billing", feature.platform, feature.entity);
    let explain = format!("{path}/explain");
    world.get(&explain).await.expect_error(404, "NOT_FOUND");
    let job = feature.activate(&world, "1.0.0").await;
    let (ready, things, because) = world.told(&explain).await;
    assert_eq!((ready, things), (false, vec!["feature".into(), "request".into()]));
    assert!(because.contains(&job), "{because}");
    feature.complete(&world, &job, "1.0.0").await;
    let ran = (true, vec!["feature".to_owned()], "it is active".to_owned());
    assert_eq!(world.told(&explain).await, ran);
    let id = text(&world.get(&path).await.expect(200), "id");
    assert_eq!(world.told(&explain.replace("billing", &id)).await, ran, "by its own id too");
    world.get(&format!("{explain}?env=dev")).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_stack_that_failed_says_why_and_a_deleted_one_is_told_to_services_alone() {
    let templates = Templates::start(Answers::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    let stack = Stack::new(&world, &platform, "main").await;
    stack.fail(&world, "worker: no quota").await;
    let failed = (false, vec!["stack".to_owned()], "it failed: worker: no quota".to_owned());
    assert_eq!(world.told(&stack.path("/explain")).await, failed);

    world.delete(&stack.path("")).await.expect(202);
    world.get(&stack.path("/explain")).await.expect_error(404, "NOT_FOUND");
    let asked = r::ExplainStackRequest { platform_id: platform, stack_id: stack.id };
    let ask = async |process| {
        world.call(process, None, asked.clone(), async |mut c, m| c.explain_stack(m).await).await
    };
    let told = ask("onboarding").await.unwrap().explanation.unwrap();
    let things: Vec<&str> = told.chain.iter().map(|link| link.thing.as_str()).collect();
    assert_eq!((told.ready, things), (false, vec!["stack", "request"]));
    assert_eq!(ask("provisioning").await.unwrap_err().kind(), Kind::Forbidden);
}
