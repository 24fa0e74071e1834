//! Limits on rejected credentials, which must not affect valid ones.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    iam::{FakeIam, Running, grant},
    world::{KEY, World, error_of},
};

const PATH: &str = "/api/v1/platforms";

/// Returns an API key that iam does not know.
fn unknown_key() -> String {
    format!("nno_{}_{}", Uuid::now_v7().simple(), "s".repeat(43))
}

async fn with(world: &World, credential: &str) -> Response {
    world.anonymous(Method::GET, PATH).bearer_auth(credential).send().await.unwrap()
}

/// Guesses endlessly on one connection.
async fn guess_on(world: &World, keys: bool) {
    let client = testkit::client();
    loop {
        let guess = if keys { unknown_key() } else { format!("guess-{}", Uuid::now_v7()) };
        let request = client.get(format!("http://{}{PATH}", world.at)).bearer_auth(guess);
        assert_eq!(request.send().await.unwrap().status(), 429);
    }
}

/// Sends a request on a new connection.
async fn on_new_connection(world: &World, credential: &str) -> Response {
    let request = testkit::client().get(format!("http://{}{PATH}", world.at)).bearer_auth(credential);
    request.send().await.unwrap()
}

/// Starts a gateway and exhausts the budget for rejected credentials of this address.
async fn with_exhausted_budget(failures: u32) -> (Running, World) {
    let iam = FakeIam::default().serve().await;
    let world = iam.world(json!({ "limits": { "failures_per_minute": failures } })).await;
    for n in 0..failures {
        assert_eq!(with(&world, &format!("guess-number-{n}")).await.status(), 401);
    }
    (iam, world)
}

#[tokio::test]
async fn rejected_credentials_beyond_the_budget_get_429() {
    let (_iam, world) = with_exhausted_budget(3).await;
    for n in 3..6 {
        let response = with(&world, &format!("guess-number-{n}")).await;
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait >= 10, "{wait}");
        assert_eq!(error_of(response).await, (429, "RATE_LIMITED".to_owned()));
    }
    for _ in 0..5 {
        let response = world.anonymous(Method::GET, PATH).send().await.unwrap();
        assert_eq!(response.status(), 401, "a request without a credential is not a guess");
    }
}

#[tokio::test]
async fn valid_credentials_work_after_rejected_ones_from_the_same_address() {
    let (iam, world) = with_exhausted_budget(3).await;
    for n in 0..20 {
        assert_eq!(with(&world, &unknown_key()).await.status(), 429, "{n}");
    }
    let (_, key) = iam.iam.key(grant("viewer", None), None);
    for credential in [key.as_str(), KEY] {
        let started = Instant::now();
        assert_eq!(
            on_new_connection(&world, credential).await.status(),
            200,
            "a new credential on a new connection"
        );
        assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
        assert_eq!(with(&world, credential).await.status(), 200, "on the connection of the rejected ones");
    }
}

#[tokio::test]
async fn valid_credentials_work_during_a_guessing_attack() {
    let (iam, world) = with_exhausted_budget(3).await;
    let guess = async {
        // Eighty connections, each of which sends the next guess at once.
        join_all((0..80).map(|nth| guess_on(&world, nth % 2 == 0))).await
    };
    let served = async {
        sleep(Duration::from_millis(500)).await;
        let before = iam.iam.calls.get();
        for _ in 0..5 {
            let (_, key) = iam.iam.key(grant("viewer", None), None);
            assert_eq!(on_new_connection(&world, &key).await.status(), 200);
        }
        assert_eq!(on_new_connection(&world, KEY).await.status(), 200);
        let calls = iam.iam.calls.get() - before;
        sleep(Duration::from_secs(1)).await;
        calls
    };
    let started = Instant::now();
    tokio::select! {
        _ = guess => unreachable!("the guesses never end"),
        calls = served => {
            let max = 51.0 * started.elapsed().as_secs_f64() + 5.0;
            assert!((calls as f64) < max, "iam was called {calls} times in {:?}", started.elapsed());
        }
    }
}

#[tokio::test]
async fn guessing_beyond_the_budget_is_slow() {
    let (_iam, world) = with_exhausted_budget(3).await;
    // The gateway checks ten credentials per second.
    let started = Instant::now();
    let guesses: Vec<String> = (0..15).map(|n| format!("another-guess-number-{n}")).collect();
    let responses = join_all(guesses.iter().map(|guess| on_new_connection(&world, guess))).await;
    assert!(responses.iter().all(|response| response.status() == 429));
    assert!(started.elapsed() >= Duration::from_millis(1400), "{:?}", started.elapsed());
}

#[tokio::test]
async fn repeated_invalid_credential_causes_no_check() {
    let (iam, world) = with_exhausted_budget(3).await;
    let bad = unknown_key();
    assert_eq!(with(&world, &bad).await.status(), 429);
    let before = iam.iam.calls.get();
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(with(&world, &bad).await.status(), 429);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(iam.iam.calls.get(), before);
}

#[tokio::test]
async fn valid_credentials_do_not_use_the_budget() {
    let (iam, world) = (FakeIam::default().serve().await, 3);
    let world = iam.world(json!({ "limits": { "failures_per_minute": world } })).await;
    for _ in 0..10 {
        let (_, key) = iam.iam.key(grant("viewer", None), None);
        assert_eq!(with(&world, &key).await.status(), 200);
    }
    for n in 0..3 {
        assert_eq!(with(&world, &format!("guess-number-{n}")).await.status(), 401);
    }
}
