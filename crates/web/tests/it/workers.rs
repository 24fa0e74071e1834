//! A worker thread that is taken by one request.

use std::{net::TcpListener, time::Duration};

use actix_web::{HttpResponse, get};
use domain::access::Access;
use identity::Verifier;
use runtime::shutdown::Shutdown;
use testkit::{Keys, Response};
use web::{HttpSettings, ServiceConfig, Shared, serve};

#[utoipa::path(operation_id = "whoami", extensions(("x-access" = json!(Access::Caller))))]
#[get("/taken")]
async fn taken() -> HttpResponse {
    std::thread::sleep(Duration::from_secs(9));
    HttpResponse::Ok().finish()
}

fn routes(config: &mut ServiceConfig) {
    config.service(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_reports_a_worker_that_is_stuck() {
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
    // A connection of its own for each: one that the stuck worker was given gets no answer.
    let ask = |path: &'static str, patience: Duration| async move {
        let answer = testkit::client().get(format!("http://{address}{path}")).timeout(patience).send().await;
        Some(Response::read(answer.ok()?).await)
    };
    assert_eq!(ask("/ready", second).await.unwrap().expect(200)["checks"]["workers"], "ok");
    let request = tokio::spawn(ask("/taken", 20 * second));
    tokio::time::sleep(7 * second).await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.extend(ask("/ready", second / 4).await);
    }
    assert!(!answers.is_empty(), "one of the two workers answers");
    for answer in answers {
        let checks = answer.expect(503)["checks"]["workers"].to_string();
        assert!(checks.contains("has not answered for"), "{checks}");
    }
    request.await.unwrap();
    tokio::time::sleep(2 * second).await;
    assert_eq!(ask("/ready", second).await.unwrap().expect(200)["checks"]["workers"], "ok");
    shutdown.begin();
}
