//! Who may do what.

use domain::{Grant, Reach, Role};
use kit::{Caller, identity::ActorType};
use reqwest::Method;
use serde_json::{Value, json};
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH};
use testkit::Response;

use crate::catalogue::{Catalogue, template, version};

/// Every operation of the API: method, path, body.
fn operations() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::GET, "/api/v1/stacks", Value::Null),
        (Method::POST, "/api/v1/stacks", template("blog")),
        (Method::GET, "/api/v1/stacks/shop", Value::Null),
        (Method::PATCH, "/api/v1/stacks/shop", json!({ "displayName": "Another" })),
        (Method::GET, "/api/v1/stacks/shop/versions", Value::Null),
        (Method::POST, "/api/v1/stacks/shop/versions", version("1.1.0")),
        (Method::GET, "/api/v1/stacks/shop/usage", Value::Null),
        (Method::GET, "/api/v1/stacks/shop/1.0.0", Value::Null),
        (Method::DELETE, "/api/v1/stacks/shop/1.0.0", Value::Null),
    ]
}

async fn start() -> Catalogue {
    let catalogue = Catalogue::with_shop().await;
    catalogue.publish("shop", "1.0.0").await;
    catalogue
}

#[tokio::test]
async fn the_list_of_operations_is_whole() {
    let document =
        serde_json::to_value(<stack_registry::StackRegistry as kit::service::Service>::openapi()).unwrap();
    let documented: usize =
        document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(documented, operations().len());
}

#[tokio::test]
async fn without_an_identity_nothing_is_told_or_done() {
    let catalogue = start().await;
    for (method, path, body) in operations() {
        let request = catalogue.anonymous(method.clone(), path).json(&body);
        Response::read(request.send().await.unwrap()).await.expect_error(401, "UNAUTHORIZED");
        let forged = catalogue.anonymous(method, path).bearer_auth("not.a.token").json(&body);
        Response::read(forged.send().await.unwrap()).await.expect_error(401, "UNAUTHORIZED");
    }
    assert_eq!(catalogue.count("audit_log").await, 2);
}

#[tokio::test]
async fn whoever_is_known_reads_and_operators_write() {
    let catalogue = start().await;
    for role in [Role::PlatformAdmin, Role::Developer, Role::Viewer] {
        let caller = Caller::known("someone", ActorType::User, vec![Grant { role, reach: Reach::All }]);
        for (method, path, body) in operations() {
            let mut request = catalogue.request_as(&caller, method.clone(), path);
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = Response::read(request.send().await.unwrap()).await;
            // Whose platforms use it is nobody's business but the operators'.
            if method == Method::GET && !path.ends_with("/usage") {
                answer.expect(200);
            } else {
                answer.expect_error(403, "FORBIDDEN");
            }
        }
    }
    assert_eq!(catalogue.count("audit_log").await, 2);
}

#[tokio::test]
async fn health_and_the_format_need_no_identity() {
    let catalogue = Catalogue::start().await;
    for path in ["/health", "/ready", DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH] {
        assert_eq!(catalogue.anonymous(Method::GET, path).send().await.unwrap().status(), 200, "{path}");
    }
}
