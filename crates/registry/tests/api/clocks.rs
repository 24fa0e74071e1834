//! Clocks that differ between the processes that call each other, and between a process and its database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use domain::Kind;
use identity::{Caller, KeyPair, Signer};
use registry::Registry;
use rpc::{
    Peer, PeerCall, Peers,
    registry::{CheckSlugRequest, registry_client::RegistryClient},
};
use runtime::{
    clock::{self, Clocks},
    config::PeerSettings,
};
use serde_json::json;
use testkit::TestDb;

use crate::world::World;

/// Onboarding, with a wall clock that differs from the registry's by the given seconds.
fn caller(world: &World, differs_by: &Arc<AtomicI64>) -> (Peer, Signer) {
    let differs_by = Arc::clone(differs_by);
    let wall = move || clock::now() + TimeDelta::seconds(differs_by.load(Ordering::SeqCst));
    let key = KeyPair::read(world.keys.dir(), "onboarding").unwrap();
    let signer = Signer::with_clocks("onboarding", &key, Clocks::new(wall, Instant::now)).unwrap();
    let settings = PeerSettings { url: format!("http://{}", world.grpc) };
    let peer = Peers { signer: signer.clone(), tls: None }.peer("registry", &settings).unwrap();
    (peer, signer)
}

async fn call(world: &World, peer: &Peer) -> Result<bool, domain::Error> {
    let message = CheckSlugRequest { slug: "free".to_owned() };
    let request = peer.request(&world.ctx("onboarding"), PeerCall::default(), message)?;
    Ok(peer.unpack(RegistryClient::new(peer.channel()).check_slug(request).await)?.taken)
}

#[tokio::test]
async fn call_with_a_rejected_signature_is_signed_again() {
    let world = World::start().await;
    let differs_by = Arc::new(AtomicI64::new(-65));
    let (peer, signer) = caller(&world, &differs_by);
    let own = Caller::this_service("onboarding");
    let stale = signer.sign("registry", &own).unwrap();
    // Valid for ten more seconds to the caller, but expired for five seconds to the registry.
    differs_by.store(-45, Ordering::SeqCst);
    assert_eq!(signer.sign("registry", &own).unwrap(), stale);
    assert!(!call(&world, &peer).await.unwrap());
    assert_ne!(signer.sign("registry", &own).unwrap(), stale, "the new token is reused");
}

#[tokio::test]
async fn peer_that_keeps_rejecting_signatures_is_unavailable() {
    let world = World::start().await;
    let (peer, _) = caller(&world, &Arc::new(AtomicI64::new(-3600)));
    let error = call(&world, &peer).await.unwrap_err();
    assert_eq!(error.kind(), Kind::ServiceUnavailable, "{error:?}");
}

#[tokio::test]
async fn calls_succeed_while_the_callers_clock_is_stepped() {
    let world = World::start().await;
    let differs_by = Arc::new(AtomicI64::new(0));
    let (peer, _) = caller(&world, &differs_by);
    // Steps that bring the caller's clock back to the right time, from both directions.
    for wrong in [-25, 25, -29, 29, -1] {
        for now in [wrong, 0] {
            differs_by.store(now, Ordering::SeqCst);
            for _ in 0..3 {
                call(&world, &peer).await.unwrap_or_else(|error| panic!("{error:?} at {now} s"));
            }
        }
    }
}

#[tokio::test]
async fn event_is_due_by_the_databases_clock() {
    for skew in ["1 hour", "-1 hour"] {
        let db = TestDb::of::<Registry>().await;
        db.skew_clock(skew).await;
        let world = World::on(db, json!({})).await;
        let platform = world.platform("acme").await;
        let tenant = world.tenant(&platform, "first").await;
        let body = json!({ "featureId": "billing", "version": "1.0.0", "environment": "prod" });
        let path = format!("/api/v1/platforms/{platform}/entities/{tenant}/features/activate");
        world.post(&path, body).await.expect(202);
        // The destination is down, so the delivery fails and is retried seconds later.
        let tried = "SELECT count(*) FROM outbox WHERE destination IS NOT NULL AND attempts > 0 \
             AND next_attempt_at BETWEEN now() - interval '30 s' AND now() + interval '30 s'";
        let deadline = Instant::now() + Duration::from_secs(10);
        while world.number(tried).await == 0 {
            assert!(Instant::now() < deadline, "due at a different time with a database clock {skew} off");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
