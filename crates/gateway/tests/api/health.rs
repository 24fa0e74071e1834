//! The health endpoints.

use actix_web::{HttpResponse, web};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::ReservedPort;

use crate::{
    raw,
    world::{Count, World, error_of, serve},
};

fn ready(calls: Count) -> std::net::SocketAddr {
    serve(move |config| {
        config.route(
            "/ready",
            web::get().to(move || {
                calls.add(1);
                async { HttpResponse::Ok().json(json!({ "status": "ready" })) }
            }),
        );
    })
}

async fn ask(world: &World, path: &str) -> (u16, Value) {
    let response = world.anonymous(Method::GET, path).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn health_does_not_depend_on_services() {
    let gone = ReservedPort::new();
    let world = World::with_service(gone.address, json!({}));
    assert_eq!(ask(&world, "/health").await, (200, json!({ "status": "ok" })));
    let response = world.anonymous(Method::POST, "/health").send().await.unwrap();
    assert_eq!(error_of(response).await, (401, "UNAUTHORIZED".to_owned()), "only reads are public");
    for path in ["/health", "/ready", "/docs", "/openapi.json", "/api/v1/stack-definition.schema.json"] {
        let response = world.request(Method::DELETE, path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS", "{path}");
        assert_eq!(error_of(response).await, (405, "METHOD_NOT_ALLOWED".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn gateway_is_ready_when_all_services_are() {
    let calls = Count::default();
    let world = World::with_service(ready(calls.clone()), json!({}));
    for _ in 0..3 {
        let (status, body) = ask(&world, "/ready").await;
        assert_eq!((status, &body["status"]), (200, &json!("ready")));
        for service in ["registry", "stack-registry", "onboarding", "provisioning", "iam"] {
            assert_eq!(body["checks"][service], "ok", "{body}");
        }
    }
    assert_eq!(calls.get(), 5, "results are cached for a moment");
    ::web::healthcheck(world.at, None).await.unwrap();
}

#[tokio::test]
async fn gateway_is_not_ready_when_a_service_is_not() {
    let gone = ReservedPort::new();
    let unwell = raw::fixed_response("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", true).await;
    let silent = raw::service(|stream| async move {
        tokio::time::sleep(raw::LONG).await;
        drop(stream);
    })
    .await;
    for service in [gone.address, unwell, silent] {
        let others = ready(Count::default());
        let url = json!({ "url": format!("http://{service}") });
        let world = World::with_service(others, json!({ "service": { "upstreams": { "onboarding": url } } }));
        let (status, body) = ask(&world, "/ready").await;
        assert_eq!((status, &body["status"]), (503, &json!("not_ready")));
        assert_eq!(body["checks"]["registry"], "ok");
        let check = body["checks"]["onboarding"].as_str().unwrap();
        assert!(check.contains("not ready") && !check.contains("127.0.0.1"), "{check}");
        assert!(::web::healthcheck(world.at, None).await.is_err());
    }
}
