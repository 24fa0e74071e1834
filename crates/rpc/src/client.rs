//! Typed calls of another service.

use std::{marker::PhantomData, time::Duration};

use domain::Result;
use futures_util::Stream;
use identity::Ctx;
use runtime::{Probe, config::PeerSettings};
use tonic::{Response, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::{Method, Peer, PeerCall, Peers, Service, SignedChannel, StreamMethod};

/// The deadline of a stream, which has no end of its own.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 3600);

/// The service `S`, as this process calls it. It takes the requests of that service alone.
pub struct Client<S> {
    peer: Peer,
    service: PhantomData<fn() -> S>,
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { peer: self.peer.clone(), service: PhantomData }
    }
}

impl<S: Service> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", S::NAME)
    }
}

impl<S: Service> Client<S> {
    /// Calls the service at its address; it is connected to when it is first called.
    ///
    /// # Errors
    /// Those of [`Peers::to`].
    pub fn new(peers: &Peers, settings: &PeerSettings) -> anyhow::Result<Self> {
        Ok(Self { peer: peers.to(S::PROCESS, settings)?, service: PhantomData })
    }

    /// The connection.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What `/ready` says of the service.
    pub fn probe(&self) -> Probe {
        self.peer.probe()
    }

    /// Calls a method.
    ///
    /// # Errors
    /// Those of [`Peer::answer`].
    pub async fn call<M: Method<Service = S>>(&self, ctx: &Ctx, request: M) -> Result<M::Answer> {
        self.call_with(ctx, PeerCall::default(), request).await
    }

    /// Calls a method in a certain way.
    ///
    /// # Errors
    /// Those of [`Peer::answer`].
    pub async fn call_with<M: Method<Service = S>>(
        &self,
        ctx: &Ctx,
        call: PeerCall<'_>,
        request: M,
    ) -> Result<M::Answer> {
        let request = self.peer.request(ctx, call, request)?;
        self.peer.answer(self.send::<M>(request).await)
    }

    /// Opens a method in which both sides send as long as they like; it has begun when the service has answered.
    ///
    /// # Errors
    /// Those of [`Peer::answer`].
    pub async fn stream<M: StreamMethod<Service = S>>(
        &self,
        ctx: &Ctx,
        messages: impl Stream<Item = M> + Send + 'static,
    ) -> Result<Streaming<M::Answer>> {
        let call = PeerCall { key: None, deadline: Some(ENDLESS) };
        let request = self.peer.stream(ctx, call, messages)?;
        let mut client = self.ready().await.or_else(|status| self.peer.answer(Err(status)))?;
        let path = PathAndQuery::from_static(M::PATH);
        let codec = ProstCodec::<M, M::Answer>::default();
        self.peer.answer(client.streaming(request, path, codec).await)
    }

    async fn ready(&self) -> Result<Grpc<SignedChannel>, Status> {
        let mut client = Grpc::new(self.peer.channel());
        client
            .ready()
            .await
            .map_err(|error| Status::unknown(format!("the service was not ready: {error}")))?;
        Ok(client)
    }

    async fn send<M: Method>(&self, request: tonic::Request<M>) -> Result<Response<M::Answer>, Status> {
        let mut client = self.ready().await?;
        client.unary(request, PathAndQuery::from_static(M::PATH), ProstCodec::default()).await
    }
}
