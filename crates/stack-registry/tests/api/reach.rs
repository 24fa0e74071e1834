//! Every operation × every role × every scope: see [`testkit::access_matrix`].
//!
//! The catalogue belongs to no platform, so it has no row-level security. Only the users of a template are hidden.

use domain::access::{AccessDecision, Target};
use identity::ActorType;
use reqwest::Method;
use serde_json::{Value, json};
use stack_registry::StackRegistry;
use testkit::{
    TestService,
    access_matrix::{self, Case, Cell, Hierarchy, Principal, Scenario},
};

use crate::{
    catalogue::{template, version},
    usage::{both, platform, stack},
};

const STACKS: &str = "/api/v1/stacks";

/// Catalogue with `shop` 1.0.0, and a registry with a platform that uses it.
struct Scene {
    services: (TestService, TestService, TestService),
    hierarchy: Hierarchy,
    /// Id of the platform that uses it.
    user: String,
}

impl Scene {
    async fn new() -> Self {
        let services = both().await;
        let (catalogue, registry, _) = &services;
        catalogue.post(STACKS, template("shop")).await.expect(201);
        catalogue.post(&format!("{STACKS}/shop/versions"), version("1.0.0")).await.expect(201);
        let path = platform(registry, "user").await;
        stack(registry, &path, "tenant").await;
        let user = path.rsplit('/').next().unwrap().to_owned();
        Self { services, hierarchy: Hierarchy::random(), user }
    }
}

impl Scenario for Scene {
    type Service = StackRegistry;

    fn service(&self) -> &TestService {
        &self.services.0
    }

    fn placeholders(&self) -> &[(&'static str, String)] {
        &[]
    }

    fn cases(&self) -> Vec<Case> {
        let one = |method: Method, template: &str, path: &str, body: Value| {
            Case::new(method, &format!("{STACKS}/{template}"), &format!("{STACKS}/{path}"), body)
        };
        vec![
            Case::plain(Method::GET, STACKS, Value::Null),
            Case::plain(Method::POST, STACKS, template("blog")),
            one(Method::GET, "{name}", "shop", Value::Null),
            one(Method::PATCH, "{name}", "shop", json!({ "displayName": "Another" })),
            one(Method::GET, "{name}/versions", "shop/versions", Value::Null),
            one(Method::POST, "{name}/versions", "shop/versions", version("1.1.0")),
            one(Method::GET, "{name}/usage", "shop/usage", Value::Null),
            one(Method::GET, "{name}/{version}", "shop/1.0.0", Value::Null),
            one(Method::DELETE, "{name}/{version}", "shop/1.0.0", Value::Null),
        ]
    }

    fn principals(&self) -> Vec<Principal> {
        self.hierarchy.principals(ActorType::Apikey)
    }

    fn decision(&self, cell: &Cell<'_>) -> AccessDecision {
        cell.operation.decide(cell.principal.caller.grants(), &Target::Everything)
    }

    fn hidden(&self, _: &Principal) -> Vec<String> {
        vec![self.user.clone()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_follows_the_access_matrix() {
    access_matrix::check(&Scene::new().await).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_valid_credentials_are_rejected() {
    access_matrix::assert_invalid_tokens_rejected(&Scene::new().await).await;
}
