//! Rate limits, limits on requests in progress, and load shedding.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::ReservedPort;
use tokio::time::sleep;

use crate::{
    iam::{FakeIam, grant},
    raw,
    world::{Count, World, error_of, header},
};

const PATH: &str = "/api/v1/platforms";

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn text<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn caller_over_the_limit_is_rejected_and_others_are_served() {
    let iam = FakeIam::default().serve().await;
    let limits = json!({ "per_caller_per_second": 1, "per_caller_burst": 3 });
    let world = iam.world(json!({ "limits": limits })).await;
    let (_, noisy) = iam.iam.key(grant("viewer", None), None);
    let (_, quiet) = iam.iam.key(grant("viewer", None), None);
    let with = |key: &str| send(world.anonymous(Method::GET, PATH).bearer_auth(key));
    for left in ["r=2;t=1", "r=1;t=2", "r=0;t=3"] {
        let response = with(&noisy).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(&response, "ratelimit-policy"), Some("\"caller\";q=3;w=3"));
        assert_eq!(text(&response, "ratelimit").unwrap(), format!("\"caller\";{left}"));
    }
    let response = with(&noisy).await;
    assert_eq!(text(&response, "retry-after"), Some("1"));
    assert!(text(&response, "ratelimit").unwrap().starts_with("\"caller\";r=0;"));
    assert_eq!(error_of(response).await, (429, "RATE_LIMITED".to_owned()));
    assert_eq!(with(&quiet).await.status(), 200);
    assert_eq!(world.get(PATH).await.status(), 200);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(with(&noisy).await.status(), 200, "the caller is served again after a pause");
}

#[tokio::test]
async fn address_limit_applies_before_authentication() {
    let limits =
        json!({ "per_address_per_second": 1, "per_address_burst": 2, "trusted_proxies": "127.0.0.0/8" });
    let world = World::new(json!({ "service": { "limits": limits } }));
    let from = |ip: &str| world.request(Method::GET, PATH).header("X-Forwarded-For", ip);
    assert_eq!(send(from("198.51.100.1")).await.status(), 200);
    assert_eq!(send(from("6.6.6.6, 198.51.100.1")).await.status(), 200);
    let response = send(from("7.7.7.7, 198.51.100.1")).await;
    assert_eq!(text(&response, "ratelimit-policy"), Some("\"address\";q=2;w=2"));
    assert_eq!(error_of(response).await, (429, "RATE_LIMITED".to_owned()));
    let got = world.received(from("198.51.100.2")).await;
    assert_eq!(header(&got, "x-forwarded-for"), Some("198.51.100.2"));
    for (ip, status) in [("2001:db8::1", 200), ("2001:db8::2", 200), ("2001:db8::3", 429)] {
        assert_eq!(send(from(ip)).await.status(), status, "{ip}: an IPv6 network counts as one address");
    }
}

/// Starts a service that responds after a delay and counts its requests.
async fn slow(after: Duration) -> (std::net::SocketAddr, Count) {
    let reached = Count::default();
    let count = reached.clone();
    let at = raw::service(move |mut stream| {
        let count = count.clone();
        async move {
            while !raw::head(&mut stream).await.is_empty() {
                count.add(1);
                sleep(after).await;
                let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if tokio::io::AsyncWriteExt::write_all(&mut stream, response).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (at, reached)
}

#[tokio::test]
async fn slow_service_sheds_load_and_others_do_not() {
    let (at, reached) = slow(Duration::from_millis(700)).await;
    let upstreams = json!({ "onboarding": { "url": format!("http://{at}") } });
    // One tenant may have at most three quarters.
    let limits = json!({ "max_in_flight_per_upstream": 4, "queue_timeout": "50ms" });
    let world = World::new(json!({ "service": { "upstreams": upstreams, "limits": limits } }));
    let ask = || send(world.request(Method::GET, "/api/v1/onboarding"));
    let held = async { join_all((0..3).map(|_| ask())).await };
    let shed = async {
        reached.reaches(3).await;
        let response = ask().await;
        assert_eq!(text(&response, "retry-after"), Some("1"));
        assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
        assert_eq!(world.get(PATH).await.status(), 200, "another service is not affected");
    };
    let (held, ()) = tokio::join!(held, shed);
    assert!(held.iter().all(|response| response.status() == 200));
    drop(held);
    assert_eq!(ask().await.status(), 200, "permits are free again");
    assert_eq!(reached.get(), 4, "the rejected request did not reach the service");
}

#[tokio::test]
async fn requests_of_one_tenant_do_not_queue_behind_those_of_another() {
    let (at, reached) = slow(Duration::from_millis(300)).await;
    let iam = FakeIam::default().serve().await;
    let limits = json!({ "max_in_flight_per_upstream": 4, "queue_timeout": "20s" });
    let upstreams = json!({ "registry": { "url": format!("http://{at}") } });
    let world = iam.world(json!({ "limits": limits, "upstreams": upstreams })).await;
    let noisy: Vec<String> =
        (0..4).map(|_| iam.iam.key(grant("viewer", Some("aaaaaaaaaa")), None).1).collect();
    let (_, quiet) = iam.iam.key(grant("viewer", Some("bbbbbbbbbb")), None);
    let with = |key: &str| send(world.anonymous(Method::GET, PATH).bearer_auth(key));
    let done = Count::default();
    let noise = async {
        let one = async |n: usize| {
            assert_eq!(with(&noisy[n % noisy.len()]).await.status(), 200);
            done.add(1);
        };
        join_all((0..24).map(one)).await;
    };
    let listener = async {
        reached.reaches(3).await;
        // Four keys of one tenant with twenty-four requests have three requests in progress.
        assert_eq!(with(&quiet).await.status(), 200);
        assert!(done.get() <= 6, "{} requests of the other tenant were served first", done.get());
    };
    tokio::join!(noise, listener);
}

#[tokio::test]
async fn rejections_of_a_flood_are_delayed_and_others_are_served() {
    let iam = FakeIam::default().serve().await;
    let limits = json!({ "per_caller_per_second": 1, "per_caller_burst": 1 });
    let world = iam.world(json!({ "limits": limits })).await;
    let (_, noisy) = iam.iam.key(grant("viewer", None), None);
    let (_, quiet) = iam.iam.key(grant("viewer", None), None);
    let with = |key: &str| send(world.anonymous(Method::GET, PATH).bearer_auth(key));
    let rejected = Count::default();
    let flood = async {
        let one = async || {
            loop {
                if with(&noisy).await.status() == 429 {
                    rejected.add(1);
                }
            }
        };
        join_all((0..8).map(|_| one())).await;
    };
    tokio::select! {
        _ = flood => {}
        () = sleep(Duration::from_secs(2)) => {}
    }
    // Without a delay there would be thousands.
    assert!((8..150).contains(&rejected.get()), "{} rejections in two seconds", rejected.get());
    assert_eq!(with(&quiet).await.status(), 200);
}

#[tokio::test]
async fn requests_in_progress_are_limited_per_process_and_caller() {
    let (at, reached) = slow(Duration::from_millis(700)).await;
    for (limits, status, code) in [
        (json!({ "max_in_flight": 2 }), 503, "SERVICE_UNAVAILABLE"),
        (json!({ "per_caller_in_flight": 2 }), 429, "RATE_LIMITED"),
    ] {
        let before = reached.get();
        let world = World::with_service(at, json!({ "service": { "limits": limits } }));
        let held = async { join_all((0..2).map(|_| world.get(PATH))).await };
        let rejected = async {
            reached.reaches(before + 2).await;
            let response = world.get(PATH).await;
            assert_eq!(text(&response, "retry-after"), Some("1"));
            assert_eq!(error_of(response).await, (status, code.to_owned()));
            assert_eq!(send(world.anonymous(Method::GET, "/health")).await.status(), 200);
        };
        let (held, ()) = tokio::join!(held, rejected);
        assert!(held.iter().all(|response| response.status() == 200));
        assert_eq!(world.get(PATH).await.status(), 200);
    }
}

#[tokio::test]
async fn circuit_of_an_unreachable_service_opens_and_closes() {
    let held = ReservedPort::new();
    let at = held.address;
    let upstreams = json!({ "onboarding": { "url": format!("http://{at}") } });
    let world = World::new(json!({ "service": { "upstreams": upstreams } }));
    let circuits = async || {
        let received: Value = send(world.anonymous(Method::GET, "/ready")).await.json().await.unwrap();
        received["checks"]["circuits"].clone()
    };
    assert_eq!(circuits().await, "ok");
    for _ in 0..5 {
        let response = world.get("/api/v1/onboarding").await;
        assert_eq!(text(&response, "retry-after"), None);
        assert_eq!(error_of(response).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    }
    let response = world.get("/api/v1/onboarding").await;
    assert_eq!(text(&response, "retry-after"), Some("1"), "the service is not called");
    assert_eq!(circuits().await, "open: onboarding");
    assert_eq!(world.get(PATH).await.status(), 200);
    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while !raw::head(&mut stream).await.is_empty() {
                    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    tokio::io::AsyncWriteExt::write_all(&mut stream, response).await.unwrap();
                }
            });
        }
    });
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(world.get("/api/v1/onboarding").await.status(), 200);
    assert_eq!(circuits().await, "ok");
}
