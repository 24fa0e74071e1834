//! The connection to a peer, which signs a call again whose signature was refused.

use std::{
    error::Error as StdError,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use identity::{Caller, Signer};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderValue, Request, Response, header},
    transport::Channel,
};
use tower::{Service, ServiceExt};

/// Marks a request that consists of one message and may be sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unary;

/// A connection to a peer that accepts the signatures of this service.
///
/// A signature is refused for a moment when the clock of the peer was stepped, or differs from the clock here. A new one
/// then begins its life now, and mostly passes. The peer checks it before it does anything, so the call has had no effect.
#[derive(Debug, Clone)]
pub struct SignedChannel {
    channel: Channel,
    peer: &'static str,
    signer: Signer,
}

type BoxError = Box<dyn StdError + Send + Sync>;

impl SignedChannel {
    pub(super) fn new(channel: Channel, peer: &'static str, signer: Signer) -> Self {
        Self { channel, peer, signer }
    }

    async fn send(mut self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let whole = |head| Request::from_parts(head, Body::new(Full::new(body.clone())));
        let answer = self.channel.call(whole(head.clone())).await?;
        if Status::from_header_map(answer.headers())
            .is_none_or(|status| status.code() != Code::Unauthenticated)
        {
            return Ok(answer);
        }
        let caller = Caller::this_service(self.signer.name());
        let Ok(token) = self.signer.sign_again(self.peer, &caller) else { return Ok(answer) };
        tracing::info!(peer = self.peer, "the peer refused the signature; signing again");
        head.headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}"))?);
        Ok(self.channel.ready().await?.call(whole(head)).await?)
    }
}

impl Service<Request<Body>> for SignedChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone that is ready is the one to call.
        let fresh = self.clone();
        let mut ready = std::mem::replace(self, fresh);
        match request.extensions().get::<Unary>() {
            Some(_) => Box::pin(ready.send(request)),
            None => Box::pin(async move { Ok(ready.channel.call(request).await?) }),
        }
    }
}
