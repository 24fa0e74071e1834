//! A fake iam with the keys and bindings of a test.

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

type Revocations = mpsc::Sender<std::result::Result<Revocation, Status>>;

#[derive(Default)]
struct State {
    keys: HashMap<Uuid, (Vec<u8>, ResolvedKey)>,
    people: HashMap<String, Vec<Grant>>,
    revocations: Option<Revocations>,
    is_stopped: bool,
    number: i64,
}

/// A fake iam.
#[derive(Clone, Default)]
pub(crate) struct FakeIam {
    state: Arc<Mutex<State>>,
    /// The number of calls that resolve a key or a person.
    pub(crate) calls: Count,
    /// The number of acknowledged revocations.
    pub(crate) acknowledged: Count,
    delay: Duration,
}

/// A running fake iam.
pub(crate) struct Running {
    pub(crate) iam: FakeIam,
    pub(crate) at: SocketAddr,
}

/// Returns a grant in the form of the protocol.
pub(crate) fn grant(role: &str, platform: Option<&str>) -> Grant {
    let role = rpc::enum_number(Role::parse(role).unwrap());
    Grant { role, platform_id: platform.map(str::to_owned), entity_id: None }
}

impl FakeIam {
    pub(crate) fn slow(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Creates a key and returns its id and its text.
    pub(crate) fn key(&self, grant: Grant, expires_at: Option<i64>) -> (Uuid, String) {
        let (id, secret) = (Uuid::now_v7(), "s".repeat(43));
        let resolved = ResolvedKey { name: "test".to_owned(), grant: Some(grant), expires_at };
        let digest = Sha256::digest(&secret).to_vec();
        self.state.lock().unwrap().keys.insert(id, (digest, resolved));
        (id, format!("nno_{}_{secret}", id.simple()))
    }

    pub(crate) fn bind(&self, subject: &str, grant: Grant) {
        self.state.lock().unwrap().people.entry(subject.to_owned()).or_default().push(grant);
    }

    /// Removes a key without a revocation.
    pub(crate) fn remove_key(&self, id: Uuid) {
        self.state.lock().unwrap().keys.remove(&id);
    }

    /// Removes a person's grants without a revocation.
    pub(crate) fn unbind(&self, subject: &str) {
        self.state.lock().unwrap().people.remove(subject);
    }

    /// Sends a revocation and waits until the gateway acknowledges it.
    pub(crate) async fn revoke(&self, what: What) {
        let before = self.acknowledged.get();
        let (revocations, number) = {
            let mut state = self.state.lock().unwrap();
            state.number += 1;
            (state.revocations.clone().expect("a revocation stream is open"), state.number)
        };
        revocations.send(Ok(Revocation { number, what: Some(what) })).await.unwrap();
        self.acknowledged.reaches(before + 1).await;
    }

    fn check_available(&self) -> Result<()> {
        if self.state.lock().unwrap().is_stopped { Err(Error::unavailable("iam", "stopped")) } else { Ok(()) }
    }

    /// Waits until a gateway has opened a revocation stream.
    pub(crate) async fn is_watched(&self) {
        let is_open = || self.state.lock().unwrap().revocations.is_some();
        eventually("a revocation stream is open", is_open).await;
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
    /// Returns the settings of a gateway for this iam.
    pub(crate) fn settings(&self) -> Value {
        json!({ "url": format!("http://{}", self.at) })
    }

    /// Starts a gateway that uses this iam and receives its revocations.
    pub(crate) async fn world(&self, mut service: Value) -> World {
        service["iam"] = self.settings();
        let world = World::new(json!({ "service": service }));
        self.iam.is_watched().await;
        world.wait_for_revocations(true).await;
        world
    }

    /// Ends the revocation stream.
    pub(crate) fn drop_stream(&self) {
        self.iam.state.lock().unwrap().revocations = None;
    }

    /// Rejects all calls from now on.
    pub(crate) fn stop(&self) {
        self.iam.state.lock().unwrap().is_stopped = true;
        self.drop_stream();
    }
}

async fn resolve_key(iam: &FakeIam, request: Request<ResolveKeyRequest>) -> Result<ResolveKeyResponse> {
    assert!(request.metadata().get("authorization").is_some(), "the gateway identifies itself");
    iam.calls.add(1);
    tokio::time::sleep(iam.delay).await;
    let request = request.into_inner();
    iam.check_available()?;
    let state = iam.state.lock().unwrap();
    let found = Uuid::try_parse(&request.id).ok().and_then(|id| state.keys.get(&id));
    let key = found.filter(|(digest, _)| *digest == request.secret_digest).map(|(_, key)| key.clone());
    Ok(ResolveKeyResponse { key })
}

async fn resolve_person(
    iam: &FakeIam,
    request: Request<ResolvePersonRequest>,
) -> Result<ResolvePersonResponse> {
    iam.calls.add(1);
    iam.check_available()?;
    let state = iam.state.lock().unwrap();
    let grants = state.people.get(&request.into_inner().subject).cloned().unwrap_or_default();
    Ok(ResolvePersonResponse { grants })
}

fn watch_revocations(
    iam: &FakeIam,
    mut acknowledgements: Streaming<Forgotten>,
) -> Result<ReceiverStream<std::result::Result<Revocation, Status>>> {
    iam.check_available()?;
    let count = iam.acknowledged.clone();
    tokio::spawn(async move {
        while let Some(Ok(_)) = acknowledgements.next().await {
            count.add(1);
        }
    });
    let (revocations, receiver) = mpsc::channel(8);
    let first = Revocation { number: 0, what: Some(What::Everything(true)) };
    revocations.try_send(Ok(first)).unwrap();
    iam.state.lock().unwrap().revocations = Some(revocations);
    Ok(ReceiverStream::new(receiver))
}

async fn ensure_binding(_: &FakeIam, _: Request<EnsureBindingRequest>) -> Result<EnsureBindingResponse> {
    Err(Error::internal("not used by the gateway"))
}

async fn remove_binding(_: &FakeIam, _: Request<RemoveBindingRequest>) -> Result<RemoveBindingResponse> {
    Err(Error::internal("not used by the gateway"))
}
