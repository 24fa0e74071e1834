//! Another service, as this one calls it.

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

const CONNECT: Duration = Duration::from_secs(2);
const ALIVE: Duration = Duration::from_secs(10);
/// How long a call may take when nothing else is said.
const DEADLINE: Duration = Duration::from_secs(5);

/// What a process calls others with: what it signs with, and what it shows where connections are under TLS.
#[derive(Debug, Clone)]
pub struct Peers {
    pub signer: Signer,
    pub tls: Option<Tls>,
}

impl Peers {
    /// The service `name` at its address.
    ///
    /// # Errors
    /// When the address is no URL, or one of other connections than this process makes: https is for those who show
    /// certificates, http for those who do not.
    pub fn to(&self, name: &'static str, settings: &PeerSettings) -> anyhow::Result<Peer> {
        let wrong = || format!("the address of {name}");
        let endpoint = Endpoint::from_shared(settings.url.clone())
            .with_context(wrong)?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .tcp_nodelay(true);
        Tls::ensure_scheme(self.tls.as_ref(), endpoint.uri().scheme_str()).with_context(wrong)?;
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

/// A connection to another service, made when first needed and again when lost.
#[derive(Debug, Clone)]
pub struct Peer {
    name: &'static str,
    channel: Channel,
    signer: Signer,
}

/// How one call is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeerCall<'a> {
    /// Makes a write safe to repeat.
    pub key: Option<&'a str>,
    /// How long it may take; 5 s if not said.
    pub deadline: Option<Duration>,
}

impl Peer {
    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What a generated client is made of.
    pub fn channel(&self) -> SignedChannel {
        SignedChannel::new(self.channel.clone(), self.name, self.signer.clone())
    }

    /// Tells at `/ready` whether the peer answers. Its absence is told and no more: what needs it waits or says 503.
    pub fn probe(&self) -> Probe {
        let peer = self.clone();
        Probe::told(self.name, move || {
            let peer = peer.clone();
            Box::pin(async move {
                let asked = peer.health().await;
                asked.map_err(|status| format!("does not answer ({:?})", status.code()))
            })
        })
    }

    /// Asks whether it is there at all.
    ///
    /// # Errors
    /// That it cannot be reached or did not answer in time.
    pub async fn ping(&self) -> Result<()> {
        self.health().await.map_err(|status| from_status(self.name, &status))
    }

    async fn health(&self) -> std::result::Result<(), Status> {
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        request.set_timeout(CONNECT);
        HealthClient::new(self.channel()).check(request).await.map(drop)
    }

    /// A request of this service itself, with what travels along. If the peer refuses its signature, the
    /// [channel](Self::channel) signs it again and sends it once more.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn request<T: Message>(&self, ctx: &Ctx, call: PeerCall<'_>, message: T) -> Result<Request<T>> {
        let mut request = self.stream(ctx, call, message)?;
        request.extensions_mut().insert(Unary);
        Ok(request)
    }

    /// The same for a stream of messages, which can be sent only once.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn stream<T>(&self, ctx: &Ctx, call: PeerCall<'_>, messages: T) -> Result<Request<T>> {
        let token = self.signer.sign(self.name, &Caller::this_service(self.signer.name()))?;
        let mut request = Request::new(messages);
        request.set_timeout(call.deadline.unwrap_or(DEADLINE));
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
        if let Some(key) = call.key {
            put("idempotency-key", key)?;
        }
        Ok(request)
    }

    /// The answer, or the error that the peer told.
    ///
    /// # Errors
    /// The peer's own error, or that it cannot be reached or did not answer in time. A peer that refuses the identity of
    /// this service is as good as away: no caller of this service can do anything about it, and it passes.
    pub fn answer<T>(&self, result: std::result::Result<Response<T>, Status>) -> Result<T> {
        let error = match result {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => from_status(self.name, &status),
        };
        Err(match error.kind() {
            Kind::Unauthorized => Error::unavailable(self.name, error.log_context()),
            _ => error,
        })
    }
}
