//! Connections to other services.

use std::{io, time::Duration};

use anyhow::Context;
use domain::{Error, Kind, Result};
use hyper_util::rt::TokioIo;
use identity::{
    Caller, Ctx, Signer,
    tls::{HTTP2, Tls},
};
use prost::Message;
use runtime::{Probe, config::PeerSettings};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::{
    Request, Response, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint, Uri},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::signed::{SignedChannel, Unary};
use crate::status::from_status;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Deadline of a call that sets none.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// Credentials with which a process calls other services: its signer and, if it uses TLS, its certificates.
#[derive(Debug, Clone)]
pub struct Peers {
    pub signer: Signer,
    pub tls: Option<Tls>,
}

impl Peers {
    /// Returns the peer `name` at the address in the settings.
    ///
    /// # Errors
    /// If the address is not a URL or its scheme does not match the settings of this process: `https` with TLS, `http`
    /// without.
    pub fn peer(&self, name: &'static str, settings: &PeerSettings) -> anyhow::Result<Peer> {
        let context = || format!("the address of {name}");
        let endpoint = Endpoint::from_shared(settings.url.clone())
            .with_context(context)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .tcp_nodelay(true);
        Tls::ensure_scheme(self.tls.as_ref(), endpoint.uri().scheme_str()).with_context(context)?;
        let channel = match self.tls.clone() {
            None => endpoint.connect_lazy(),
            Some(tls) => {
                let connect = move |uri| connect(tls.clone(), uri);
                endpoint.connect_with_connector_lazy(tower::service_fn(connect))
            }
        };
        Ok(Peer { name, channel, signer: self.signer.clone() })
    }
}

async fn connect(tls: Tls, uri: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let port = uri.port_u16().unwrap_or(443);
    tls.connect(uri.host().unwrap_or_default(), port, HTTP2).await.map(TokioIo::new)
}

/// Connection to another service. It is opened by the first call and reopened when lost.
#[derive(Debug, Clone)]
pub struct Peer {
    name: &'static str,
    channel: Channel,
    signer: Signer,
}

/// Options of one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeerCall<'a> {
    /// Makes a write safe to repeat.
    pub idempotency_key: Option<&'a str>,
    /// Time limit of the call; 5 s by default.
    pub deadline: Option<Duration>,
}

impl Peer {
    /// Returns the name of the service.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the channel for a generated client.
    pub fn channel(&self) -> SignedChannel {
        SignedChannel::new(self.channel.clone(), self.name, self.signer.clone())
    }

    /// Returns a probe that reports at `/ready` if the peer responds. An unreachable peer does not make this process
    /// unready: operations that need the peer wait or fail with 503.
    pub fn probe(&self) -> Probe {
        let peer = self.clone();
        Probe::optional(self.name, move || {
            let peer = peer.clone();
            Box::pin(async move {
                let health = peer.health().await;
                health.map_err(|status| format!("does not answer ({:?})", status.code()))
            })
        })
    }

    /// Calls the health check of the peer.
    ///
    /// # Errors
    /// If the peer cannot be reached or does not respond in time.
    pub async fn ping(&self) -> Result<()> {
        self.health().await.map_err(|status| from_status(self.name, &status))
    }

    async fn health(&self) -> std::result::Result<(), Status> {
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        request.set_timeout(CONNECT_TIMEOUT);
        HealthClient::new(self.channel()).check(request).await.map(drop)
    }

    /// Builds a request that this service sends in its own name, with identity, request id, trace and idempotency key
    /// in the metadata. If the peer rejects the signature, the [channel](Self::channel) signs and sends the request
    /// again.
    ///
    /// # Errors
    /// If the request cannot be signed.
    pub fn request<T: Message>(&self, ctx: &Ctx, call: PeerCall<'_>, message: T) -> Result<Request<T>> {
        let mut request = self.stream(ctx, call, message)?;
        request.extensions_mut().insert(Unary);
        Ok(request)
    }

    /// Builds a request for a stream of messages, which can be sent only once.
    ///
    /// # Errors
    /// If the request cannot be signed.
    pub fn stream<T>(&self, ctx: &Ctx, call: PeerCall<'_>, messages: T) -> Result<Request<T>> {
        let token = self.signer.sign(self.name, &Caller::this_service(self.signer.name()))?;
        let mut request = Request::new(messages);
        request.set_timeout(call.deadline.unwrap_or(DEFAULT_DEADLINE));
        let mut put = |name: &'static str, value: &str| -> Result<()> {
            let value = MetadataValue::try_from(value).map_err(Error::internal)?;
            request.metadata_mut().insert(name, value);
            Ok(())
        };
        put("authorization", &format!("Bearer {token}"))?;
        put("x-request-id", &ctx.request_id)?;
        if let Some(parent) = &ctx.traceparent {
            put("traceparent", parent)?;
        }
        if let Some(key) = call.idempotency_key {
            put("idempotency-key", key)?;
        }
        Ok(request)
    }

    /// Returns the message of a response, or the domain error of a status.
    ///
    /// # Errors
    /// The error that the peer returned, or one that says that the peer cannot be reached or did not respond in time. A
    /// peer that rejects the identity of this service counts as unavailable: the callers of this service cannot fix it,
    /// and it is temporary.
    pub fn unpack<T>(&self, result: std::result::Result<Response<T>, Status>) -> Result<T> {
        let error = match result {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => from_status(self.name, &status),
        };
        Err(match error.kind() {
            Kind::Unauthorized => Error::service_unavailable(self.name, error.log_context()),
            _ => error,
        })
    }
}
