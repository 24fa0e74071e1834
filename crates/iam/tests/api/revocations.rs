//! Gateways that watch.

use std::time::{Duration, Instant};

use domain::Role;
use rpc::{
    PeerCall,
    iam::{Forgotten, Revocation, iam_client::IamClient, revocation::What},
};
use serde_json::json;
use testkit::TestService;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::world::{BINDINGS, KEYS, World, alone, resolve, text};

/// A gateway that watches a process of iam.
struct Gateway {
    told: Streaming<Revocation>,
    says: mpsc::Sender<Forgotten>,
}

impl Gateway {
    async fn watch(iam: &TestService) -> Self {
        let (says, said) = mpsc::channel(8);
        let peer = iam.peer("gateway");
        let call = PeerCall { idempotency_key: None, deadline: Some(Duration::from_secs(3600)) };
        let request = peer.stream(&iam.ctx("gateway"), call, ReceiverStream::new(said)).unwrap();
        let told = peer.unpack(IamClient::new(peer.channel()).watch_revocations(request).await).unwrap();
        let mut gateway = Self { told, says };
        let begun = gateway.next().await;
        assert_eq!(begun, Revocation { number: 0, what: Some(What::Everything(true)) });
        gateway
    }

    async fn next(&mut self) -> Revocation {
        timeout(Duration::from_secs(5), self.told.message()).await.unwrap().unwrap().unwrap()
    }

    async fn forgot(&self, told: &Revocation) {
        self.says.send(Forgotten { number: told.number }).await.unwrap();
    }
}

#[tokio::test]
async fn a_revocation_is_answered_when_those_who_watch_have_forgotten() {
    let world = World::start().await;
    let made = world.key(Role::Viewer, &world.all_of_own()).await;
    let (mut one, mut other) = (Gateway::watch(&world).await, Gateway::watch(&world).await);
    let path = format!("{KEYS}/{}", text(&made, "id"));
    let revoked = async {
        let started = Instant::now();
        world.delete(&path).await.expect(200);
        started.elapsed()
    };
    let forgotten = async {
        let told = one.next().await;
        assert_eq!(told.what, Some(What::KeyId(text(&made, "id").to_owned())));
        assert!(resolve(&world, text(&made, "key")).await.is_none(), "what is told has come true");
        one.forgot(&told).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let told = other.next().await;
        let before = Instant::now();
        other.forgot(&told).await;
        before
    };
    let (took, _) = tokio::join!(revoked, forgotten);
    assert!(took >= Duration::from_millis(300), "not before all have: {took:?}");
    assert!(took < Duration::from_millis(950), "and then at once: {took:?}");
}

#[tokio::test]
async fn who_does_not_answer_keeps_nobody_from_revoking() {
    let world = World::start().await;
    let made = world.key(Role::Viewer, &world.all_of_own()).await;
    let _silent = Gateway::watch(&world).await;
    let started = Instant::now();
    world.delete(&format!("{KEYS}/{}", text(&made, "id"))).await.expect(200);
    assert!((1000..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn nobody_is_waited_for_who_watches_no_more() {
    let world = World::start().await;
    let made = world.key(Role::Viewer, &world.all_of_own()).await;
    drop(Gateway::watch(&world).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    world.delete(&format!("{KEYS}/{}", text(&made, "id"))).await.expect(200);
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn whoever_watches_another_process_is_told_soon_and_once() {
    let world = World::start().await;
    let replica = world.replica().await;
    let mut gateway = Gateway::watch(&replica).await;
    let first = world.key(Role::Viewer, &world.all_of_own()).await;
    let second = world.key(Role::Viewer, &world.all_of_own()).await;
    for made in [&first, &second] {
        let id = text(made, "id");
        let started = Instant::now();
        world.delete(&format!("{KEYS}/{id}")).await.expect(200);
        let told = gateway.next().await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(told.what, Some(What::KeyId(id.to_owned())));
    }
    let more = timeout(Duration::from_millis(700), gateway.told.message()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_change_of_what_a_person_holds_is_told_also_when_it_is_more() {
    let iam = alone().await;
    let mut gateway = Gateway::watch(&iam).await;
    let anns = Some(What::Subject("ann".to_owned()));
    let made = async { iam.post(BINDINGS, json!({ "subject": "ann", "role": "viewer" })).await.expect(201) };
    let told = async {
        let told = gateway.next().await;
        gateway.forgot(&told).await;
        told
    };
    let (made, told) = tokio::join!(made, told);
    assert_eq!(told.what, anns);
    let path = format!("{BINDINGS}/{}", text(&made, "id"));
    let later = async {
        let later = gateway.next().await;
        gateway.forgot(&later).await;
        later
    };
    let (gone, later) = tokio::join!(iam.delete(&path), later);
    gone.expect(200);
    assert_eq!(later.what, anns);
    assert!(later.number > told.number);
}

#[tokio::test]
async fn a_try_tells_nobody() {
    let world = World::start().await;
    let made = world.key(Role::Viewer, &world.all_of_own()).await;
    let mut gateway = Gateway::watch(&world).await;
    let started = Instant::now();
    world.delete(&format!("{KEYS}/{}?dryRun=true", text(&made, "id"))).await.expect(200);
    assert!(started.elapsed() < Duration::from_millis(900));
    assert!(timeout(Duration::from_millis(500), gateway.told.message()).await.is_err());
    assert!(resolve(&world, text(&made, "key")).await.is_some());
}

#[tokio::test]
async fn a_watch_ends_with_the_process() {
    let iam = alone().await;
    let mut gateway = Gateway::watch(&iam).await;
    timeout(Duration::from_secs(5), iam.stop()).await.unwrap();
    let end = timeout(Duration::from_secs(5), gateway.told.message()).await.unwrap();
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}
