//! ${Words} of a platform.

use registry::Registry;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestService;

use crate::operation::{Cases, Created, Operation};

/// Test cases of the ${word} operations.
pub(crate) const CASES: Cases = Cases { created, operations };

fn created() -> Vec<Created> {
    let body = json!({ "title": "Invoice" });
    vec![Created { part: "{${singular}}", path: "/platforms/{p}/${path}", body }]
}

fn operations() -> Vec<Operation> {
    let (list, one) = ("/platforms/{platformId}/${path}", "/platforms/{platformId}/${path}/{${camel}Id}");
    vec![
        Operation::get(list, "/platforms/{p}/${path}"),
        Operation::get(one, "/platforms/{p}/${path}/{${singular}}"),
        Operation::post(list, "/platforms/{p}/${path}", json!({ "title": "Order" })),
        Operation::patch(one, "/platforms/{p}/${path}/{${singular}}", json!({ "title": "Offer" })),
        Operation::delete(one, "/platforms/{p}/${path}/{${singular}}"),
    ]
}

/// The path of the ${words} of a new platform.
async fn ${plural}_of_a_new_platform(service: &TestService, slug: &str) -> String {
    let body = json!({ "name": "Acme", "slug": slug });
    let platform = service.post("/api/v1/platforms", body).await.expect(201);
    format!("/api/v1/platforms/{}/${path}", platform["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_${singular}_can_be_created_read_updated_and_deleted() {
    let service = TestService::start::<Registry>().await;
    let list = ${plural}_of_a_new_platform(&service, "acme").await;
    let created = service.post(&list, json!({ "title": "Billing", "body": "Net 30" })).await.expect(201);
    let path = format!("{list}/{}", created["id"].as_str().unwrap());
    assert_eq!(service.get(&path).await.expect(200), created);

    let updated = service.patch(&path, json!({ "body": null })).await.expect(200);
    assert_eq!((&updated["title"], &updated["body"]), (&json!("Billing"), &Value::Null));
    let page = service.get(&list).await.expect(200);
    assert_eq!((&page["data"], &page["pagination"]["total"]), (&json!([updated]), &json!(1)));

    service.delete(&path).await.expect(204);
    service.get(&path).await.expect_error(404, "NOT_FOUND");
    assert_eq!(service.get(&list).await.expect(200)["pagination"]["total"], 0);
}

#[tokio::test]
async fn create_${singular}_reports_every_fault_of_the_body() {
    let service = TestService::start::<Registry>().await;
    let list = ${plural}_of_a_new_platform(&service, "acme").await;
    let details =
        service.post(&list, json!({ "titel": "x", "body": 1 })).await.expect_error(400, "VALIDATION_ERROR");
    let paths: Vec<&str> =
        details["fields"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["body", "titel", "title"]);
}

#[tokio::test]
async fn ${singular}_titles_are_unique_on_a_platform() {
    let service = TestService::start::<Registry>().await;
    let list = ${plural}_of_a_new_platform(&service, "acme").await;
    service.post(&list, json!({ "title": "Billing" })).await.expect(201);
    let details = service.post(&list, json!({ "title": "Billing" })).await.expect_error(409, "ALREADY_EXISTS");
    assert_eq!(details["title"], "Billing");
    let other = ${plural}_of_a_new_platform(&service, "other").await;
    service.post(&other, json!({ "title": "Billing" })).await.expect(201);
}

#[tokio::test]
async fn delete_${singular}_with_a_stale_etag_is_rejected() {
    let service = TestService::start::<Registry>().await;
    let list = ${plural}_of_a_new_platform(&service, "acme").await;
    let created = service.post(&list, json!({ "title": "Billing" })).await.expect(201);
    let path = format!("{list}/{}", created["id"].as_str().unwrap());
    let stale = [("If-Match", "\"stale\"")];
    service.send(Method::DELETE, &path, &Value::Null, &stale).await.expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(service.get(&list).await.expect(200)["pagination"]["total"], 1);
}

#[tokio::test]
async fn a_${singular}_of_another_platform_is_not_found() {
    let service = TestService::start::<Registry>().await;
    let own = ${plural}_of_a_new_platform(&service, "own").await;
    let other = ${plural}_of_a_new_platform(&service, "other").await;
    let created = service.post(&own, json!({ "title": "Billing" })).await.expect(201);
    let path = format!("{other}/{}", created["id"].as_str().unwrap());
    service.get(&path).await.expect_error(404, "NOT_FOUND");
    service.patch(&path, json!({ "title": "Mine" })).await.expect_error(404, "NOT_FOUND");
    service.delete(&path).await.expect_error(404, "NOT_FOUND");
}
