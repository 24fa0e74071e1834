//! An iam that tells what a test has put into it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Error, Result, Role};
use futures_util::StreamExt;
use rpc::{
    Iam, MethodsBuilder,
    iam::{
        EnsureBindingRequest, EnsureBindingResponse, Forgotten, Grant, RemoveBindingRequest,
        RemoveBindingResponse, ResolveKeyRequest, ResolveKeyResponse, ResolvePersonRequest,
        ResolvePersonResponse, ResolvedKey, Revocation, revocation::What,
    },
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Status, Streaming, transport::Server};
use uuid::Uuid;

use crate::world::{Count, World, eventually};

type Watch = mpsc::Sender<std::result::Result<Revocation, Status>>;

#[derive(Default)]
struct Known {
    keys: HashMap<Uuid, (Vec<u8>, ResolvedKey)>,
    people: HashMap<String, Vec<Grant>>,
    watch: Option<Watch>,
    is_away: bool,
    number: i64,
}

/// A fake iam, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct FakeIam {
    known: Arc<Mutex<Known>>,
    pub(crate) asked: Count,
    pub(crate) forgotten: Count,
    delay: Duration,
}

/// One that runs.
pub(crate) struct Running {
    pub(crate) iam: FakeIam,
    pub(crate) at: SocketAddr,
}

/// A grant as iam tells it.
pub(crate) fn grant(role: &str, platform: Option<&str>) -> Grant {
    let role = rpc::enum_number(Role::parse(role).unwrap());
    Grant { role, platform_id: platform.map(str::to_owned), entity_id: None }
}

impl FakeIam {
    pub(crate) fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Makes a key; gives its id and its text.
    pub(crate) fn key(&self, grant: Grant, expires_at: Option<i64>) -> (Uuid, String) {
        let (id, secret) = (Uuid::now_v7(), "s".repeat(43));
        let resolved = ResolvedKey { name: "test".to_owned(), grant: Some(grant), expires_at };
        let digest = Sha256::digest(&secret).to_vec();
        self.known.lock().unwrap().keys.insert(id, (digest, resolved));
        (id, format!("nno_{}_{secret}", id.simple()))
    }

    pub(crate) fn bind(&self, subject: &str, grant: Grant) {
        self.known.lock().unwrap().people.entry(subject.to_owned()).or_default().push(grant);
    }

    /// Takes a key away without telling anyone.
    pub(crate) fn remove_key(&self, id: Uuid) {
        self.known.lock().unwrap().keys.remove(&id);
    }

    /// Takes a person's grants away without telling anyone.
    pub(crate) fn unbind(&self, subject: &str) {
        self.known.lock().unwrap().people.remove(subject);
    }

    /// Tells what is not to be believed any more, and waits until it is forgotten.
    pub(crate) async fn tell(&self, what: What) {
        let before = self.forgotten.get();
        let (watch, number) = {
            let mut known = self.known.lock().unwrap();
            known.number += 1;
            (known.watch.clone().expect("someone watches"), known.number)
        };
        watch.send(Ok(Revocation { number, what: Some(what) })).await.unwrap();
        self.forgotten.reaches(before + 1).await;
    }

    fn is_there(&self) -> Result<()> {
        if self.known.lock().unwrap().is_away { Err(Error::unavailable("iam", "away")) } else { Ok(()) }
    }

    pub(crate) async fn is_watched(&self) {
        eventually("someone watches", || self.known.lock().unwrap().watch.is_some()).await;
    }

    pub(crate) async fn serve(self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let methods = MethodsBuilder::<Iam, Self>::default()
            .method(&[], resolve_key)
            .method(&[], resolve_person)
            .stream(&[], watch_revocations)
            .method(&[], ensure_binding)
            .method(&[], remove_binding);
        let server = Server::builder()
            .add_service(methods.build(self.clone()).unwrap())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move { server.await.unwrap() });
        Running { iam: self, at }
    }
}

impl Running {
    /// What a gateway is told of it.
    pub(crate) fn settings(&self) -> Value {
        json!({ "url": format!("http://{}", self.at) })
    }

    /// A gateway that asks it, and that has begun to watch it.
    pub(crate) async fn world(&self, mut service: Value) -> World {
        service["iam"] = self.settings();
        let world = World::new(json!({ "service": service }));
        self.iam.is_watched().await;
        world.wait_for_revocations(true).await;
        world
    }

    /// Ends the watch, and leaves the rest as it is.
    pub(crate) fn drop_watch(&self) {
        self.iam.known.lock().unwrap().watch = None;
    }

    /// Answers nothing any more.
    pub(crate) fn stop(&self) {
        self.iam.known.lock().unwrap().is_away = true;
        self.drop_watch();
    }
}

async fn resolve_key(iam: &FakeIam, request: Request<ResolveKeyRequest>) -> Result<ResolveKeyResponse> {
    assert!(request.metadata().get("authorization").is_some(), "the gateway says who it is");
    iam.calls.add(1);
    tokio::time::sleep(iam.delay).await;
    let request = request.into_inner();
    iam.is_there()?;
    let known = iam.known.lock().unwrap();
    let found = Uuid::try_parse(&request.id).ok().and_then(|id| known.keys.get(&id));
    let key = found.filter(|(digest, _)| *digest == request.secret_digest).map(|(_, key)| key.clone());
    Ok(ResolveKeyResponse { key })
}

async fn resolve_person(
    iam: &FakeIam,
    request: Request<ResolvePersonRequest>,
) -> Result<ResolvePersonResponse> {
    iam.calls.add(1);
    iam.is_there()?;
    let known = iam.known.lock().unwrap();
    let grants = known.people.get(&request.into_inner().subject).cloned().unwrap_or_default();
    Ok(ResolvePersonResponse { grants })
}

fn watch_revocations(
    iam: &FakeIam,
    mut forgotten: Streaming<Forgotten>,
) -> Result<ReceiverStream<std::result::Result<Revocation, Status>>> {
    iam.is_there()?;
    let count = iam.forgotten.clone();
    tokio::spawn(async move {
        while let Some(Ok(_)) = forgotten.next().await {
            count.add(1);
        }
    });
    let (watch, told) = mpsc::channel(8);
    let begun = Revocation { number: 0, what: Some(What::Everything(true)) };
    watch.try_send(Ok(begun)).unwrap();
    iam.known.lock().unwrap().watch = Some(watch);
    Ok(ReceiverStream::new(told))
}

async fn ensure_binding(_: &FakeIam, _: Request<EnsureBindingRequest>) -> Result<EnsureBindingResponse> {
    Err(Error::internal("not asked here"))
}

async fn remove_binding(_: &FakeIam, _: Request<RemoveBindingRequest>) -> Result<RemoveBindingResponse> {
    Err(Error::internal("not asked here"))
}
