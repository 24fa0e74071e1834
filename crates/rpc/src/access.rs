//! Access control: the processes that may call each method, and the context of an accepted call.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use domain::{Error, Kind, Result};
use futures_util::future::BoxFuture;
use identity::{ActorType, Caller, Ctx, Idempotency, Verifier, WriteCtx};
use prost::Message;
use runtime::telemetry;
use tonic::{Request, Status, body::Body, codegen::http};
use tower::{Layer, Service};
use tracing::{Instrument, field::Empty};

use crate::{Callers, status::to_status};

/// Allow list of a service: the processes that may call each method.
#[derive(Debug, Clone)]
pub struct Access {
    methods: Arc<HashMap<&'static str, Callers>>,
    verifier: Verifier,
}

/// Path prefixes that need no identity: health check and reflection.
const PUBLIC: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection."];

impl Access {
    /// Creates the allow list from the callers of each method path. Calls of other methods are rejected.
    pub fn new(verifier: Verifier, methods: impl IntoIterator<Item = (&'static str, Callers)>) -> Self {
        Self { methods: Arc::new(methods.into_iter().collect()), verifier }
    }

    fn check(&self, path: &str, authorization: Option<&str>) -> Result<Caller> {
        let caller = self.verifier.verify(authorization)?;
        let listed = self.methods.get(path).is_some_and(|callers| callers.contains(&caller.issuer.as_str()));
        // Users and API keys call over HTTP, through the gateway; gRPC is only for services.
        if listed && caller.actor_type == ActorType::Service {
            return Ok(caller);
        }
        let message = format!("The process '{}' is not allowed to call {path}.", caller.issuer);
        Err(Error::new(Kind::Forbidden, message))
    }
}

impl<S> Layer<S> for Access {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> AccessService<S> {
        AccessService { inner, access: self.clone() }
    }
}

/// Service that rejects the calls that [`Access`] does not allow.
#[derive(Debug, Clone)]
pub struct AccessService<S> {
    inner: S,
    access: Access,
}

impl<S> Service<http::Request<Body>> for AccessService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let id: Arc<str> =
            header("x-request-id").map_or_else(|| domain::id::uuid_v7().to_string().into(), Arc::from);
        let span = tracing::info_span!("grpc", request_id = %id, trace_id = Empty, method = %path);
        telemetry::continue_trace(&span, header("traceparent"));
        if !PUBLIC.iter().any(|prefix| path.starts_with(prefix)) {
            match self.access.check(&path, header("authorization")) {
                Ok(caller) => {
                    let traceparent = span.in_scope(telemetry::traceparent).map(Arc::from);
                    request.extensions_mut().insert(Ctx { caller, request_id: id, traceparent });
                }
                Err(error) => {
                    let status: Status = span.in_scope(|| to_status(&error));
                    return Box::pin(async move { Ok(status.into_http()) });
                }
            }
        }
        // `poll_ready` was called on this clone, so it is the one to call.
        let fresh = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move { ready.call(request).await }.instrument(span))
    }
}

/// Returns the context of a request that only reads.
///
/// # Errors
/// [`Kind::Internal`] if the request did not pass [`Access`].
pub fn read_ctx<T>(request: &Request<T>) -> Result<Ctx> {
    request.extensions().get::<Ctx>().cloned().ok_or_else(|| Error::internal("a request without a caller"))
}

/// Returns the context of a request that writes, with its idempotency key.
///
/// # Errors
/// [`Kind::Validation`] if the idempotency key is malformed.
pub fn write_ctx<T: Message>(request: &Request<T>) -> Result<WriteCtx> {
    let ctx = read_ctx(request)?;
    let key = request.metadata().get("idempotency-key").and_then(|value| value.to_str().ok());
    let body = request.get_ref().encode_to_vec();
    let kind = std::any::type_name::<T>();
    let idempotency = key.map(|key| Idempotency::new(key, &[kind.as_bytes(), &body])).transpose()?;
    Ok(WriteCtx { ctx, dry_run: false, idempotency, if_match: None })
}
