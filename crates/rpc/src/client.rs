//! Typed client of another service.

use std::{marker::PhantomData, time::Duration};

use domain::Result;
use futures_util::Stream;
use identity::Ctx;
use runtime::{Probe, config::PeerSettings};
use tonic::{Response, Status, Streaming, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use crate::{Method, Peer, PeerCall, Peers, Service, SignedChannel, StreamMethod};

/// The deadline of a stream, which is open until one side closes it.
const STREAM_DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Client of the service `S`. It accepts only the requests of that service.
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
    /// Creates a client of the service at the address in the settings. The first call opens the connection.
    ///
    /// # Errors
    /// Those of [`Peers::peer`].
    pub fn new(peers: &Peers, settings: &PeerSettings) -> anyhow::Result<Self> {
        Ok(Self { peer: peers.peer(S::PROCESS, settings)?, service: PhantomData })
    }

    /// Returns the peer that this client calls.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Returns the probe that reports the service at `/ready`.
    pub fn probe(&self) -> Probe {
        self.peer.probe()
    }

    /// Calls a method.
    ///
    /// # Errors
    /// Those of [`Peer::unpack`].
    pub async fn call<M: Method<Service = S>>(&self, ctx: &Ctx, request: M) -> Result<M::Response> {
        self.call_with(ctx, PeerCall::default(), request).await
    }

    /// Calls a method with options.
    ///
    /// # Errors
    /// Those of [`Peer::unpack`].
    pub async fn call_with<M: Method<Service = S>>(
        &self,
        ctx: &Ctx,
        call: PeerCall<'_>,
        request: M,
    ) -> Result<M::Response> {
        let request = self.peer.request(ctx, call, request)?;
        self.peer.unpack(self.send::<M>(request).await)
    }

    /// Opens a bidirectional stream. Returns when the service has accepted it.
    ///
    /// # Errors
    /// Those of [`Peer::unpack`].
    pub async fn stream<M: StreamMethod<Service = S>>(
        &self,
        ctx: &Ctx,
        messages: impl Stream<Item = M> + Send + 'static,
    ) -> Result<Streaming<M::Response>> {
        let call = PeerCall { idempotency_key: None, deadline: Some(STREAM_DEADLINE) };
        let request = self.peer.stream(ctx, call, messages)?;
        let mut client = self.ready().await.or_else(|status| self.peer.unpack(Err(status)))?;
        let path = PathAndQuery::from_static(M::PATH);
        let codec = ProstCodec::<M, M::Response>::default();
        self.peer.unpack(client.streaming(request, path, codec).await)
    }

    async fn ready(&self) -> Result<Grpc<SignedChannel>, Status> {
        let mut client = Grpc::new(self.peer.channel());
        client
            .ready()
            .await
            .map_err(|error| Status::unknown(format!("the service was not ready: {error}")))?;
        Ok(client)
    }

    async fn send<M: Method>(&self, request: tonic::Request<M>) -> Result<Response<M::Response>, Status> {
        let mut client = self.ready().await?;
        client.unary(request, PathAndQuery::from_static(M::PATH), ProstCodec::default()).await
    }
}
