//! Another service, as this one calls it.

use std::time::Duration;

use domain::{Error, Result};
use tonic::{
    Request, Response, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{Caller, Ctx, config::PeerSettings, error, http::Probe, identity::Signer};

const CONNECT: Duration = Duration::from_secs(2);
const ALIVE: Duration = Duration::from_secs(10);
/// How long a call may take when nothing else is said.
const DEADLINE: Duration = Duration::from_secs(5);

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
    /// The service `name` at its address. `signer` signs as this process.
    ///
    /// # Errors
    /// When the address is no URL.
    pub fn new(name: &'static str, settings: &PeerSettings, signer: Signer) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(settings.url.clone())?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .tcp_nodelay(true);
        Ok(Self { name, channel: endpoint.connect_lazy(), signer })
    }

    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What a generated client is made of.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
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
        self.health().await.map_err(|status| error::from_status(self.name, &status))
    }

    async fn health(&self) -> std::result::Result<(), Status> {
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        request.set_timeout(CONNECT);
        HealthClient::new(self.channel()).check(request).await.map(drop)
    }

    /// A request of this service itself, with what travels along.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn request<T>(&self, ctx: &Ctx, call: PeerCall<'_>, message: T) -> Result<Request<T>> {
        let token = self.signer.sign(self.name, &Caller::this_service(self.signer.name()))?;
        let mut request = Request::new(message);
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
    /// The peer's own error, or that it cannot be reached or did not answer in time.
    pub fn answer<T>(&self, result: std::result::Result<Response<T>, Status>) -> Result<T> {
        result.map(Response::into_inner).map_err(|status| error::from_status(self.name, &status))
    }
}
