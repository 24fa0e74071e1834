//! Connection to a peer that signs a call again if the peer rejected its signature.

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

/// Marks a request that consists of one message and can therefore be sent again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unary;

/// Connection to a peer that signs every call as this service.
///
/// A peer rejects a signature if its clock was stepped or differs from the clock of this process. A new signature is
/// valid from now on and usually accepted. The peer checks the signature before it runs the method, so a rejected call
/// has had no effect.
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
        let request = |head| Request::from_parts(head, Body::new(Full::new(body.clone())));
        let response = self.channel.call(request(head.clone())).await?;
        if Status::from_header_map(response.headers())
            .is_none_or(|status| status.code() != Code::Unauthenticated)
        {
            return Ok(response);
        }
        let caller = Caller::this_service(self.signer.name());
        let Ok(token) = self.signer.sign_again(self.peer, &caller) else { return Ok(response) };
        tracing::info!(peer = self.peer, "the peer rejected the signature; signing again");
        head.headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}"))?);
        Ok(self.channel.ready().await?.call(request(head)).await?)
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
        // `poll_ready` was called on this clone, so it is the one to call.
        let fresh = self.clone();
        let mut ready = std::mem::replace(self, fresh);
        match request.extensions().get::<Unary>() {
            Some(_) => Box::pin(ready.send(request)),
            None => Box::pin(async move { Ok(ready.channel.call(request).await?) }),
        }
    }
}
