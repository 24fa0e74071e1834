//! Detection of a worker thread that one request blocks.

use std::{net::TcpListener, time::Duration};

use actix_web::{HttpResponse, get};
use domain::access::Access;
use identity::Verifier;
use runtime::shutdown::Shutdown;
use testkit::{Keys, Response};
use web::{HttpSettings, ServiceConfig, Shared, serve};

#[utoipa::path(operation_id = "whoami", extensions(("x-access" = json!(Access::Caller))))]
#[get("/blocking")]
async fn blocking() -> HttpResponse {
    std::thread::sleep(Duration::from_secs(9));
    HttpResponse::Ok().finish()
}

fn routes(config: &mut ServiceConfig) {
    config.service(blocking);
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_reports_a_blocked_worker() {
    let second = Duration::from_secs(1);
    let settings = HttpSettings {
        bind: "127.0.0.1:0".parse().unwrap(),
        workers: 2,
        max_body_bytes: 1024,
        head_timeout: 10 * second,
        body_timeout: 10 * second,
        request_timeout: 30 * second,
        drain_timeout: second,
    };
    let verifier = Verifier::read("registry", Keys::new().dir()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let shared = Shared { settings, verifier, probes: Vec::new() };
    let server = serve(listener, None, shared, shutdown.clone(), routes, || Ok(())).unwrap();
    tokio::spawn(server);
    // Each request uses its own connection. Those of the blocked worker get no response.
    let ask = |path: &'static str, timeout: Duration| async move {
        let response = testkit::client().get(format!("http://{address}{path}")).timeout(timeout).send().await;
        Some(Response::read(response.ok()?).await)
    };
    assert_eq!(ask("/ready", second).await.unwrap().expect(200)["checks"]["workers"], "ok");
    let request = tokio::spawn(ask("/blocking", 20 * second));
    tokio::time::sleep(7 * second).await;
    let mut responses = Vec::new();
    for _ in 0..8 {
        responses.extend(ask("/ready", second / 4).await);
    }
    assert!(!responses.is_empty(), "one of the two workers responds");
    for response in responses {
        let checks = response.expect(503)["checks"]["workers"].to_string();
        assert!(checks.contains("has been blocked for"), "{checks}");
    }
    request.await.unwrap();
    tokio::time::sleep(2 * second).await;
    assert_eq!(ask("/ready", second).await.unwrap().expect(200)["checks"]["workers"], "ok");
    shutdown.begin();
}
