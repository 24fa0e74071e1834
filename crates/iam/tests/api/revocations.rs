//! Gateways that watch revocations.

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

/// Gateway that watches a process of iam.
struct Gateway {
    revocations: Streaming<Revocation>,
    acknowledgements: mpsc::Sender<Forgotten>,
}

impl Gateway {
    async fn watch(iam: &TestService) -> Self {
        let (acknowledgements, receiver) = mpsc::channel(8);
        let peer = iam.peer("gateway");
        let call = PeerCall { idempotency_key: None, deadline: Some(Duration::from_secs(3600)) };
        let request = peer.stream(&iam.ctx("gateway"), call, ReceiverStream::new(receiver)).unwrap();
        let revocations =
            peer.unpack(IamClient::new(peer.channel()).watch_revocations(request).await).unwrap();
        let mut gateway = Self { revocations, acknowledgements };
        let first = gateway.next().await;
        assert_eq!(first, Revocation { number: 0, what: Some(What::Everything(true)) });
        gateway
    }

    async fn next(&mut self) -> Revocation {
        timeout(Duration::from_secs(5), self.revocations.message()).await.unwrap().unwrap().unwrap()
    }

    async fn acknowledge(&self, revocation: &Revocation) {
        self.acknowledgements.send(Forgotten { number: revocation.number }).await.unwrap();
    }
}

#[tokio::test]
async fn revocation_waits_for_all_acknowledgements() {
    let world = World::start().await;
    let created = world.key(Role::Viewer, &world.all_of_own()).await;
    let (mut one, mut other) = (Gateway::watch(&world).await, Gateway::watch(&world).await);
    let path = format!("{KEYS}/{}", text(&created, "id"));
    let revoked = async {
        let started = Instant::now();
        world.delete(&path).await.expect(200);
        started.elapsed()
    };
    let acknowledged = async {
        let revocation = one.next().await;
        assert_eq!(revocation.what, Some(What::KeyId(text(&created, "id").to_owned())));
        assert!(resolve(&world, text(&created, "key")).await.is_none(), "the revocation has taken effect");
        one.acknowledge(&revocation).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let revocation = other.next().await;
        let before = Instant::now();
        other.acknowledge(&revocation).await;
        before
    };
    let (took, _) = tokio::join!(revoked, acknowledged);
    assert!(took >= Duration::from_millis(300), "before the last acknowledgement: {took:?}");
    assert!(took < Duration::from_millis(950), "long after the last acknowledgement: {took:?}");
}

#[tokio::test]
async fn silent_watcher_does_not_block_revocations() {
    let world = World::start().await;
    let created = world.key(Role::Viewer, &world.all_of_own()).await;
    let _silent = Gateway::watch(&world).await;
    let started = Instant::now();
    world.delete(&format!("{KEYS}/{}", text(&created, "id"))).await.expect(200);
    assert!((1000..3000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn revocation_does_not_wait_for_ended_watches() {
    let world = World::start().await;
    let created = world.key(Role::Viewer, &world.all_of_own()).await;
    drop(Gateway::watch(&world).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    world.delete(&format!("{KEYS}/{}", text(&created, "id"))).await.expect(200);
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn watcher_of_another_process_receives_each_revocation_once() {
    let world = World::start().await;
    let replica = world.replica().await;
    let mut gateway = Gateway::watch(&replica).await;
    let first = world.key(Role::Viewer, &world.all_of_own()).await;
    let second = world.key(Role::Viewer, &world.all_of_own()).await;
    for created in [&first, &second] {
        let id = text(created, "id");
        let started = Instant::now();
        world.delete(&format!("{KEYS}/{id}")).await.expect(200);
        let revocation = gateway.next().await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(revocation.what, Some(What::KeyId(id.to_owned())));
    }
    let more = timeout(Duration::from_millis(700), gateway.revocations.message()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn every_change_of_bindings_is_published() {
    let iam = alone().await;
    let mut gateway = Gateway::watch(&iam).await;
    let anns = Some(What::Subject("ann".to_owned()));
    let created =
        async { iam.post(BINDINGS, json!({ "subject": "ann", "role": "viewer" })).await.expect(201) };
    let received = async {
        let revocation = gateway.next().await;
        gateway.acknowledge(&revocation).await;
        revocation
    };
    let (created, revocation) = tokio::join!(created, received);
    assert_eq!(revocation.what, anns);
    let path = format!("{BINDINGS}/{}", text(&created, "id"));
    let later = async {
        let later = gateway.next().await;
        gateway.acknowledge(&later).await;
        later
    };
    let (deleted, later) = tokio::join!(iam.delete(&path), later);
    deleted.expect(200);
    assert_eq!(later.what, anns);
    assert!(later.number > revocation.number);
}

#[tokio::test]
async fn dry_run_publishes_nothing() {
    let world = World::start().await;
    let created = world.key(Role::Viewer, &world.all_of_own()).await;
    let mut gateway = Gateway::watch(&world).await;
    let started = Instant::now();
    world.delete(&format!("{KEYS}/{}?dryRun=true", text(&created, "id"))).await.expect(200);
    assert!(started.elapsed() < Duration::from_millis(900));
    assert!(timeout(Duration::from_millis(500), gateway.revocations.message()).await.is_err());
    assert!(resolve(&world, text(&created, "key")).await.is_some());
}

#[tokio::test]
async fn watch_ends_with_the_process() {
    let iam = alone().await;
    let mut gateway = Gateway::watch(&iam).await;
    timeout(Duration::from_secs(5), iam.stop()).await.unwrap();
    let end = timeout(Duration::from_secs(5), gateway.revocations.message()).await.unwrap();
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}
