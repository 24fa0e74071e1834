//! gRPC methods of iam, each with its allowed callers and its handler.

use domain::Result;
use rpc::{Iam, MethodsBuilder, iam as i, parse_uuid};
use tonic::Request;

use crate::{
    App, bindings,
    keys::{model::KeyRow, resolve},
    revocations,
};

/// The methods of the service.
pub(crate) fn methods() -> MethodsBuilder<Iam, App> {
    MethodsBuilder::default()
        .method(&["gateway"], resolve_key)
        .method(&["gateway"], bindings::grpc::resolve_person)
        .stream(&["gateway"], revocations::watch)
        .method(&["onboarding"], bindings::grpc::ensure_binding)
        .method(&["onboarding"], bindings::grpc::remove_binding)
}

async fn resolve_key(app: &App, request: Request<i::ResolveKeyRequest>) -> Result<i::ResolveKeyResponse> {
    let request = request.get_ref();
    let id = parse_uuid("id", &request.id)?;
    let found = resolve::resolve(app, id, &request.secret_digest).await?;
    Ok(i::ResolveKeyResponse { key: found.map(resolved).transpose()? })
}

fn resolved(key: KeyRow) -> Result<i::ResolvedKey> {
    let grant = Some(key.grant()?.into());
    let expires_at = key.expires_at.map(|end| end.timestamp_millis());
    Ok(i::ResolvedKey { name: key.name.to_string(), grant, expires_at })
}
