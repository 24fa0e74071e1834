//! Reports of provisioning about stack jobs.

use domain::{Kind, resource::ResourceType};
use serde_json::{Value, json};

use crate::{
    feature::{Feature, build},
    stack::{ACTIVATE, DEACTIVATE, Stack, shows},
    templates::{Behavior, Templates},
    world::{World, text},
};

async fn shop() -> (World, Templates, String) {
    let templates = Templates::start(Behavior::Shop("active", Some("1.0.0"))).await;
    let world = World::start_with(templates.settings()).await;
    let platform = world.platform("a").await;
    (world, templates, platform)
}

#[tokio::test]
async fn stack_goes_from_pending_to_active_with_its_features() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::new(&world, &platform, "t").await;
    let job = stack.job(&world).await;
    let queued = format!(
        "SELECT count(*) FROM outbox WHERE destination = 'provisioning' AND id = '{job}' \
         AND data->>'type' = 'ACTIVATE_STACK' AND data->'input'->>'stackId' = '{}'",
        stack.id
    );
    assert_eq!(
        (stack.get(&world).await["status"].clone(), world.number(&queued).await),
        (json!("pending"), 1)
    );

    let input = stack.begin(&world, &job, ACTIVATE).await.unwrap();
    assert_eq!((input.superseded, &input.owner_id), (false, &stack.tenant));
    assert_eq!((input.shared, input.shared_before), (vec![rpc::enum_number(ResourceType::D1)], vec![]));
    let services: Vec<_> = input
        .services
        .iter()
        .map(|one| (one.feature_id.as_str(), one.version.as_deref(), one.version_before.as_deref()))
        .collect();
    assert_eq!(services, [("cart", Some("1.0.0"), None)], "theme is optional and has no service");
    assert_eq!(stack.get(&world).await["status"], "provisioning");
    assert_eq!(stack.manifest(&world).await, shows(&[]));

    stack.end(&world, &job, None).await.unwrap();
    let now = stack.get(&world).await;
    assert_eq!(
        (&now["status"], &now["error"], &now["templateVersion"]),
        (&json!("active"), &Value::Null, &json!("1.0.0"))
    );
    assert_eq!(stack.manifest(&world).await, shows(&[("cart", "1.0.0")]));
    let cart = Feature::new(&platform, &stack.tenant, "cart", "prod");
    let activation = cart.get(&world).await;
    assert_eq!((&activation["status"], &activation["featureVersion"]), (&json!("active"), &json!("1.0.0")));
    assert_eq!(cart.manifest(&world).await["features"][0]["serviceUrl"], "https://cart.example");
    assert_eq!(build(&world, &cart, &job).await["buildStatus"], "success");
    let list = world.get(&cart.path("features")).await.expect(200);
    assert_eq!(list["pagination"]["total"], 1, "the list counts the activation");

    let writes = world.writes().await;
    stack.end(&world, &job, None).await.unwrap();
    assert_eq!(world.writes().await, writes, "reported twice");
}

#[tokio::test]
async fn failed_stack_can_be_requested_again() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::new(&world, &platform, "t").await;
    let job = stack.fail(&world, "workers: no quota").await;
    let now = stack.get(&world).await;
    assert_eq!((&now["status"], &now["error"]), (&json!("failed"), &json!("workers: no quota")));
    assert_eq!(world.number("SELECT count(*) FROM feature_activations").await, 0, "nothing is left behind");
    let cart = Feature::new(&platform, &stack.tenant, "cart", "prod");
    assert_eq!(build(&world, &cart, &job).await["buildStatus"], "failed");
    let details = stack.rollback(&world).await.expect_error(409, "INVALID_TRANSITION");
    assert_eq!((&details["from"], &details["allowed"]), (&json!("failed"), &json!(["upgrade"])));

    let response = stack.upgrade(&world, "1.0.0").await.expect(202);
    assert_eq!((&response["status"], &response["plan"]["from"]), (&json!("pending"), &Value::Null));
    stack.complete(&world).await;
    let now = stack.get(&world).await;
    assert_eq!((&now["status"], &now["error"]), (&json!("active"), &Value::Null));
    assert_eq!(stack.manifest(&world).await, shows(&[("cart", "1.0.0")]));
}

#[tokio::test]
async fn stack_cancelled_before_its_start_is_failed() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::new(&world, &platform, "t").await;
    let job = stack.job(&world).await;
    stack.end(&world, &job, Some("cancelled by operator")).await.unwrap();
    let now = stack.get(&world).await;
    assert_eq!((&now["status"], &now["error"]), (&json!("failed"), &json!("cancelled by operator")));
}

#[tokio::test]
async fn upgrade_is_visible_atomically_and_can_be_rolled_back() {
    let (world, templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    // An optional feature is part of the stack once it is requested.
    let theme = Feature::new(&platform, &stack.tenant, "theme", "prod");
    let job = theme.activate(&world, "1.0.0").await;
    theme.complete(&world, &job, "1.0.0").await;
    let old = shows(&[("cart", "1.0.0"), ("theme", "1.0.0")]);
    let new = shows(&[("cart", "2.0.0"), ("theme", "2.0.0"), ("wish", "1.0.0")]);

    let response = stack.upgrade(&world, "2.0.0").await.expect(202);
    let plan = &response["plan"];
    assert_eq!((&plan["from"], &plan["to"]), (&json!("1.0.0"), &json!("2.0.0")));
    assert_eq!(
        plan["added"],
        json!([
            { "kind": "feature", "id": "wish", "from": null, "to": "1.0.0" },
            { "kind": "resource", "id": "kv", "from": null, "to": null },
        ])
    );
    assert_eq!(
        plan["changed"],
        json!([
            { "kind": "feature", "id": "cart", "from": "1.0.0", "to": "2.0.0" },
            { "kind": "feature", "id": "theme", "from": "1.0.0", "to": "2.0.0" },
        ])
    );
    assert_eq!(plan["removed"], json!([]));
    let job = stack.job(&world).await;
    assert_eq!(response["provisionJobId"], job);
    let input = stack.begin(&world, &job, ACTIVATE).await.unwrap();
    let services: Vec<_> = input
        .services
        .iter()
        .map(|one| (one.feature_id.as_str(), one.version.as_deref(), one.version_before.as_deref()))
        .collect();
    assert_eq!(services, [("cart", Some("2.0.0"), Some("1.0.0")), ("wish", Some("1.0.0"), None)]);
    assert_eq!(
        (stack.manifest(&world).await, stack.get(&world).await["templateVersion"].clone()),
        (old.clone(), json!("1.0.0"))
    );
    stack.end(&world, &job, None).await.unwrap();
    assert_eq!(stack.manifest(&world).await, new);
    let now = stack.get(&world).await;
    assert_eq!((&now["status"], &now["templateVersion"]), (&json!("active"), &json!("2.0.0")));

    // The rollback needs no stack registry.
    templates.set_behavior(Behavior::Failure);
    let response = stack.rollback(&world).await.expect(202);
    assert_eq!((&response["plan"]["from"], &response["plan"]["to"]), (&json!("2.0.0"), &json!("1.0.0")));
    assert_eq!(response["plan"]["removed"][0]["id"], "wish");
    let job = stack.job(&world).await;
    let input = stack.begin(&world, &job, ACTIVATE).await.unwrap();
    let wish = input.services.iter().find(|one| one.feature_id == "wish").unwrap();
    assert_eq!((wish.version.as_deref(), wish.version_before.as_deref()), (None, Some("1.0.0")));
    assert_eq!(stack.manifest(&world).await, new);
    stack.end(&world, &job, None).await.unwrap();
    assert_eq!(stack.manifest(&world).await, old);
    let wish = Feature::new(&platform, &stack.tenant, "wish", "prod");
    assert_eq!(wish.get(&world).await["status"], "deactivated");
    stack.rollback(&world).await.expect_error(409, "INVALID_TRANSITION");
}

#[tokio::test]
async fn failed_upgrade_keeps_the_old_version_with_its_reason() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    stack.upgrade(&world, "2.0.0").await.expect(202);
    let tag = async || {
        let path = format!("/api/v1/platforms/{platform}/entities/{}/manifest", stack.tenant);
        world.get(&path).await.header("etag").unwrap().to_owned()
    };
    let before = tag().await;
    stack.fail(&world, "dns: broken").await;
    let now = stack.get(&world).await;
    assert_eq!((&now["status"], &now["error"]), (&json!("active"), &json!("dns: broken")));
    assert_eq!(now["templateVersion"], "1.0.0");
    assert_eq!((stack.manifest(&world).await, tag().await), (shows(&[("cart", "1.0.0")]), before));
    stack.rollback(&world).await.expect_error(409, "INVALID_TRANSITION");
    stack.upgrade(&world, "2.0.0").await.expect(202);
    stack.complete(&world).await;
    assert_eq!(stack.get(&world).await["error"], Value::Null);
}

#[tokio::test]
async fn upgrade_undone_after_its_end_is_reverted_completely() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    stack.upgrade(&world, "2.0.0").await.expect(202);
    let job = stack.complete(&world).await;
    assert_eq!(stack.manifest(&world).await, shows(&[("cart", "2.0.0"), ("wish", "1.0.0")]));
    stack.end(&world, &job, Some("cancelled by operator")).await.unwrap();
    let now = stack.get(&world).await;
    assert_eq!((&now["status"], &now["templateVersion"]), (&json!("active"), &json!("1.0.0")));
    assert_eq!(now["error"], "cancelled by operator");
    assert_eq!(stack.manifest(&world).await, shows(&[("cart", "1.0.0")]));
    let cart = Feature::new(&platform, &stack.tenant, "cart", "prod");
    assert_eq!(cart.manifest(&world).await["features"][0]["serviceUrl"], "https://cart.example");
    let writes = world.writes().await;
    stack.end(&world, &job, Some("cancelled by operator")).await.unwrap();
    assert_eq!(world.writes().await, writes, "reported twice");

    // Later changes stay.
    stack.upgrade(&world, "2.0.0").await.expect(202);
    let job = stack.complete(&world).await;
    let later = cart.activate(&world, "2.5.0").await;
    cart.complete(&world, &later, "2.5.0").await;
    stack.end(&world, &job, Some("cancelled by operator")).await.unwrap();
    assert_eq!(stack.manifest(&world).await, shows(&[("cart", "2.5.0")]));
    assert_eq!(stack.get(&world).await["templateVersion"], "1.0.0");

    let first = Stack::active(&world, &platform, "u").await;
    let job = first.job(&world).await;
    first.end(&world, &job, Some("cancelled by operator")).await.unwrap();
    assert_eq!(first.get(&world).await["status"], "failed");
    assert_eq!(first.manifest(&world).await, shows(&[]));
}

#[tokio::test]
async fn late_reports_change_nothing() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    let old = stack.job(&world).await;
    stack.upgrade(&world, "2.0.0").await.expect(202);
    assert!(stack.begin(&world, &old, ACTIVATE).await.unwrap().superseded);
    stack.end(&world, &old, Some("late")).await.unwrap();
    assert_eq!(stack.get(&world).await["status"], "pending");
    stack.complete(&world).await;
    assert_eq!(stack.manifest(&world).await, shows(&[("cart", "2.0.0"), ("wish", "1.0.0")]));
}

#[tokio::test]
async fn job_sent_to_provisioning_directly_redeploys() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    let job = domain::id::uuid_v7().to_string();
    let input = stack.begin(&world, &job, ACTIVATE).await.unwrap();
    assert_eq!(input.services[0].version_before.as_deref(), Some("1.0.0"));
    assert_eq!(
        (stack.get(&world).await["status"].clone(), stack.job(&world).await),
        (json!("provisioning"), job.clone())
    );
    stack.end(&world, &job, None).await.unwrap();
    assert_eq!(stack.get(&world).await["status"], "active");
    stack.rollback(&world).await.expect_error(409, "INVALID_TRANSITION");

    let removal = domain::id::uuid_v7().to_string();
    stack.begin(&world, &removal, DEACTIVATE).await.unwrap();
    world.get(&stack.path("")).await.expect_error(404, "NOT_FOUND");
    stack.begin(&world, &removal, DEACTIVATE).await.unwrap();
    let error = stack.begin(&world, &domain::id::uuid_v7().to_string(), ACTIVATE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let custom = world.tenant(&platform, "c").await;
    let custom = Stack { id: world.stack(&platform, &custom, "main").await, tenant: custom, ..stack };
    let refused = custom.begin(&world, &removal, ACTIVATE).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unprocessable);
}

#[tokio::test]
async fn shared_service_never_runs_below_an_entitys_version() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    let sub = world.subtenant(&platform, "s", &stack.tenant).await;
    let cart = Feature::new(&platform, &sub, "cart", "prod");
    let job = cart.activate(&world, "1.5.0").await;
    cart.complete(&world, &job, "1.5.0").await;
    let versions = async |version: &str| {
        stack.upgrade(&world, version).await.expect(202);
        let job = stack.job(&world).await;
        let input = stack.begin(&world, &job, ACTIVATE).await.unwrap();
        stack.end(&world, &job, None).await.unwrap();
        let cart = input.services.into_iter().find(|one| one.feature_id == "cart").unwrap();
        (cart.version.unwrap(), cart.version_before.unwrap())
    };
    assert_eq!(versions("1.0.1").await, ("1.5.0".to_owned(), "1.5.0".to_owned()));
    assert_eq!(versions("2.0.0").await, ("2.0.0".to_owned(), "1.5.0".to_owned()));
    assert_eq!(
        versions("3.0.0").await,
        ("1.5.0".to_owned(), "2.0.0".to_owned()),
        "the tenant no longer runs it"
    );
    assert_eq!(stack.manifest(&world).await, shows(&[("wish", "3.0.0")]));
    let details = world.delete(&stack.path("")).await.expect_error(409, "HAS_DEPENDENTS");
    assert_eq!(details["dependents"]["features"], 1);
}

#[tokio::test]
async fn stack_and_its_features_are_not_changed_concurrently() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::new(&world, &platform, "t").await;
    let sub = world.subtenant(&platform, "s", &stack.tenant).await;
    let theme = Feature::new(&platform, &sub, "theme", "prod");
    let refused = world.post(&theme.path("features/activate"), theme.body("1.0.0")).await;
    assert_eq!(refused.expect_error(409, "CONFLICT")["stackId"], stack.id);
    stack.complete(&world).await;
    let job = theme.activate(&world, "1.0.0").await;
    let details = stack.upgrade(&world, "2.0.0").await.expect_error(409, "CONFLICT");
    assert_eq!(details["features"], json!([{ "entityId": sub, "featureId": "theme" }]));
    theme.complete(&world, &job, "1.0.0").await;
    stack.upgrade(&world, "2.0.0").await.expect(202);
    let body = json!({ "featureId": "theme", "environment": "prod" });
    world.post(&theme.path("features/deactivate"), body).await.expect_error(409, "CONFLICT");
    let other = Feature::new(&platform, &stack.tenant, "other", "prod");
    other.activate(&world, "1.0.0").await;
    stack.complete(&world).await;
    theme.deactivate(&world).await;
}

#[tokio::test]
async fn features_from_another_stack_stay_with_it() {
    let (world, _templates, platform) = shop().await;
    let first = Stack::active(&world, &platform, "t").await;
    let second = Stack::create(&world, &platform, &first.tenant, "second").await;
    second.complete(&world).await;
    assert_eq!(second.manifest(&world).await, shows(&[("cart", "1.0.0")]));
    first.upgrade(&world, "2.0.0").await.expect(202);
    first.complete(&world).await;
    assert_eq!(first.manifest(&world).await, shows(&[("cart", "2.0.0"), ("wish", "1.0.0")]));
    world.delete(&second.path("")).await.expect(202);
    assert_eq!(first.manifest(&world).await, shows(&[("cart", "2.0.0"), ("wish", "1.0.0")]));
}

#[tokio::test]
async fn deleted_stack_disappears_at_once() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::active(&world, &platform, "t").await;
    let entity = format!("/api/v1/platforms/{platform}/entities/{}", stack.tenant);
    assert_eq!(world.delete(&entity).await.expect_error(409, "HAS_DEPENDENTS")["dependents"]["stacks"], 1);
    let response = world.delete(&stack.path("")).await.expect(202);
    assert_eq!(response["id"], stack.id);
    let job = text(&response, "provisionJobId");
    let queued = format!(
        "SELECT count(*) FROM outbox WHERE id = '{job}' AND data->>'type' = 'DEACTIVATE_STACK' \
         AND data->'input' @> '{{\"deleteData\": false}}'"
    );
    assert_eq!(world.number(&queued).await, 1);
    world.get(&stack.path("")).await.expect_error(404, "NOT_FOUND");
    stack.upgrade(&world, "2.0.0").await.expect_error(404, "NOT_FOUND");
    stack.rollback(&world).await.expect_error(404, "NOT_FOUND");
    world.delete(&stack.path("")).await.expect_error(404, "NOT_FOUND");
    let resources = format!("/api/v1/platforms/{platform}/entities/{}/resources", stack.tenant);
    let mut resource = crate::world::resource_body("late");
    resource["stackId"] = json!(stack.id);
    assert_eq!(crate::world::faults(world.post(&resources, resource).await), ["stackId"]);
    let list = world.get(&format!("/api/v1/platforms/{platform}/stacks")).await.expect(200);
    assert_eq!((list["data"].clone(), stack.manifest(&world).await), (json!([]), shows(&[])));
    let again = Stack::create(&world, &platform, &stack.tenant, "t").await;
    again.complete(&world).await;
    assert_eq!(
        again.manifest(&world).await,
        shows(&[("cart", "1.0.0")]),
        "the new stack is independent of the deleted one"
    );
    world.delete(&again.path("")).await.expect(202);
    world.delete(&entity).await.expect(200);
}

#[tokio::test]
async fn stack_can_be_deleted_while_provisioning() {
    let (world, _templates, platform) = shop().await;
    let stack = Stack::new(&world, &platform, "t").await;
    let job = stack.job(&world).await;
    stack.begin(&world, &job, ACTIVATE).await.unwrap();
    world.delete(&stack.path("")).await.expect(202);
    stack.end(&world, &job, None).await.unwrap();
    assert_eq!(stack.manifest(&world).await, shows(&[]), "late reports change nothing");
}
