//! The API's document and the page that shows it. Both are public and load nothing from other origins.

use reqwest::{Method, Response, header::HeaderMap};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, error_of};

const FILES: [&str; 6] = [
    "/openapi.json",
    "/docs",
    "/docs/page.css",
    "/docs/page.js",
    "/docs/swagger-ui.css",
    "/docs/swagger-ui-bundle.js",
];

/// The JSON Schemas of stacks, which the page does not use.
const SCHEMAS: [&str; 2] = ["/api/v1/stack-definition.schema.json", "/api/v1/stack-manifest.schema.json"];

fn all_files() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().chain(SCHEMAS)
}

async fn get(world: &World, path: &str) -> Response {
    world.anonymous(Method::GET, path).send().await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn document_contains_every_public_path() {
    let world = World::new(json!({}));
    let response = get(&world, "/openapi.json").await;
    assert_eq!(response.status(), 200);
    assert_eq!(text(response.headers(), "content-type"), "application/json");
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"], json!([{ "bearer": [] }]));
    for path in [
        "/api/v1/platforms",
        "/api/v1/resources/lookup",
        "/api/v1/lookup",
        "/api/v1/stacks/{name}/{version}",
        "/api/v1/onboarding/{onboardingId}",
        "/",
        "/{onboardingId}",
        "/admin/sessions",
        "/api/v1/provisioning/jobs/{jobId}/retry",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(document["paths"]["/api/v1/provision/jobs"].is_null(), "it is an internal path");
    for path in ["/health", "/ready", "/openapi.json", "/docs"].into_iter().chain(SCHEMAS) {
        assert_eq!(document["paths"][path]["get"]["security"], json!([]), "{path} is public");
    }
}

#[tokio::test]
async fn schemas_of_stacks_are_served() {
    let world = World::new(json!({}));
    for (path, title) in SCHEMAS.into_iter().zip(["Stack definition", "Stack manifest"]) {
        let schema: Value = get(&world, path).await.json().await.unwrap();
        assert_eq!((&schema["$id"], &schema["title"]), (&json!(path), &json!(title)));
    }
}

#[tokio::test]
async fn common_parameters_and_errors_are_components() {
    let world = World::new(json!({}));
    let document: Value = get(&world, "/openapi.json").await.json().await.unwrap();
    let suspend = &document["paths"]["/api/v1/platforms/{platformId}/suspend"]["post"];
    let parameters: Vec<&str> =
        suspend["parameters"].as_array().unwrap().iter().filter_map(|one| one["$ref"].as_str()).collect();
    let at = |name: &str| format!("#/components/parameters/{name}");
    assert_eq!(parameters, ["DryRun", "IdempotencyKey", "IfMatch", "RequestId"].map(at));
    let components = &document["components"];
    for (status, name) in [("404", "NotFound"), ("409", "Conflict"), ("502", "BadGateway")] {
        assert_eq!(suspend["responses"][status]["$ref"], format!("#/components/responses/{name}"));
        let schema = &components["responses"][name]["content"]["application/json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/ErrorEnvelope");
    }
    let header = |name: &str| components["parameters"][name]["name"].clone();
    assert_eq!(
        ["IdempotencyKey", "IfMatch", "RequestId", "DryRun"].map(header),
        ["Idempotency-Key", "If-Match", "X-Request-Id", "dryRun"]
    );
}

#[tokio::test]
async fn conditional_requests_get_304() {
    let world = World::new(json!({}));
    for path in all_files() {
        let first = get(&world, path).await;
        assert_eq!(first.status(), 200, "{path}");
        assert_eq!(text(first.headers(), "cache-control"), "public, no-cache", "{path}");
        let tag = text(first.headers(), "etag").to_owned();
        assert!(tag.starts_with('"'), "{path}: {tag}");
        let weak = format!("\"other\", W/{tag}");
        for (seen, status) in [(tag.as_str(), 304), (&weak, 304), ("*", 304), ("\"other\"", 200)] {
            let request = world.anonymous(Method::GET, path).header("If-None-Match", seen);
            let again = request.send().await.unwrap();
            assert_eq!(
                (again.status().as_u16(), text(again.headers(), "etag")),
                (status, tag.as_str()),
                "{path}"
            );
            assert_eq!(again.bytes().await.unwrap().is_empty(), status == 304, "{path}");
        }
    }
}

#[tokio::test]
async fn security_policy_forbids_other_origins() {
    let world = World::new(json!({}));
    for path in all_files() {
        let response = get(&world, path).await;
        let policy = text(response.headers(), "content-security-policy").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(text(response.headers(), "x-content-type-options"), "nosniff");
    }
    let page = get(&world, "/docs").await.text().await.unwrap();
    let links = page.split("=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let (mut internal, external): (Vec<&str>, Vec<&str>) =
        links.filter(|link| link.contains(['/', ':'])).partition(|link| link.starts_with('/'));
    assert_eq!(external, ["data:,"]);
    internal.sort_unstable();
    let mut all = FILES.to_vec();
    all.retain(|path| *path != "/docs");
    all.sort_unstable();
    assert_eq!(internal, all, "the page links all of its files, and no others");
}

#[rstest]
#[case::other_method(Method::POST, "/docs")]
#[case::other_file(Method::GET, "/docs/other.js")]
#[case::other_method_of_a_schema(Method::POST, "/api/v1/stack-definition.schema.json")]
#[case::slash(Method::GET, "/docs/")]
#[case::document_of_another_kind(Method::GET, "/openapi.yaml")]
#[tokio::test]
async fn other_paths_require_a_credential(#[case] method: Method, #[case] path: &str) {
    let world = World::new(json!({}));
    let response = world.anonymous(method, path).send().await.unwrap();
    assert_eq!(error_of(response).await, (401, "UNAUTHORIZED".to_owned()));
}
