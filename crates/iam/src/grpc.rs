//! iam over gRPC: who may call what, and where each method leads.

use domain::{Error, Result};
use rpc::iam as i;
use rpc::status::to_status;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::{
    App, bindings,
    keys::{model::Key, resolve},
    revocations::{self, Told},
};

/// The gRPC service.
pub(crate) const SERVICE: &str = "nno.iam.v1.Iam";

/// Which processes may call which method.
pub(crate) const CALLERS: &[(&str, &[&str])] = &[
    ("ResolveKey", &["gateway"]),
    ("ResolvePerson", &["gateway"]),
    ("WatchRevocations", &["gateway"]),
    ("EnsureBinding", &["onboarding"]),
    ("RemoveBinding", &["onboarding"]),
];

/// The server. Each method is a function of the slice of its thing.
#[derive(Debug)]
pub(crate) struct Server(pub(crate) App);

type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(result: Result<T>) -> Answer<T> {
    result.map(Response::new).map_err(|error| to_status(&error))
}

#[tonic::async_trait]
impl i::iam_server::Iam for Server {
    async fn resolve_key(&self, request: Request<i::ResolveKeyRequest>) -> Answer<i::ResolveKeyResponse> {
        answer(resolve_key(&self.0, request.get_ref()).await)
    }

    async fn resolve_person(
        &self,
        request: Request<i::ResolvePersonRequest>,
    ) -> Answer<i::ResolvePersonResponse> {
        answer(bindings::grpc::resolve_person(&self.0, request).await)
    }

    type WatchRevocationsStream = Told;

    async fn watch_revocations(&self, request: Request<Streaming<i::Forgotten>>) -> Answer<Told> {
        answer(revocations::watch(&self.0, request.into_inner()))
    }

    async fn ensure_binding(
        &self,
        request: Request<i::EnsureBindingRequest>,
    ) -> Answer<i::EnsureBindingResponse> {
        answer(bindings::grpc::ensure_binding(&self.0, request).await)
    }

    async fn remove_binding(
        &self,
        request: Request<i::RemoveBindingRequest>,
    ) -> Answer<i::RemoveBindingResponse> {
        answer(bindings::grpc::remove_binding(&self.0, request).await)
    }
}

async fn resolve_key(app: &App, asked: &i::ResolveKeyRequest) -> Result<i::ResolveKeyResponse> {
    let id =
        Uuid::parse_str(&asked.id).map_err(|error| Error::invalid("id", "must be a UUID").context(error))?;
    let found = resolve::resolve(app, id, &asked.secret_digest).await?;
    Ok(i::ResolveKeyResponse { key: found.map(resolved).transpose()? })
}

fn resolved(key: Key) -> Result<i::ResolvedKey> {
    let grant = Some(key.grant()?.into());
    let expires_at = key.expires_at.map(|end| end.timestamp_millis());
    Ok(i::ResolvedKey { name: key.name.to_string(), grant, expires_at })
}
