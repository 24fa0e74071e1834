//! Forwarding of requests to the services, and of responses to the clients.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{Method, StatusCode, Uri, header, uri::PathAndQuery},
    rt,
};
use awc::{Client, ClientResponse};
use domain::{Error, Kind, Result};
use identity::Caller;
use opentelemetry::KeyValue;
use rpc::Peers;
use runtime::telemetry;
use tracing::Instrument;
use web::{HttpSettings, request_id};

use crate::{
    breaker::Breakers,
    call::{Call, CallResponse},
    connection, headers,
    limits::Origin,
    load::Permits,
    stream::{ClientBody, Download, Upload, Watch},
    upstream::{Destinations, Upstream},
};

/// A request that has passed all checks.
pub(crate) struct Admitted<'a> {
    pub(crate) caller: Caller,
    pub(crate) origin: Origin,
    pub(crate) upstream: Upstream,
    /// The path that the service uses.
    pub(crate) path: &'a str,
    pub(crate) permits: Permits,
}

/// The client of one worker thread for all services.
pub(crate) struct Forwarder {
    peers: Peers,
    breakers: Breakers,
    http: HttpSettings,
    /// The client, with the connect timeout that it was built for.
    client: RefCell<Option<(Duration, Client)>>,
}

impl Forwarder {
    pub(crate) fn new(peers: Peers, breakers: Breakers, http: HttpSettings) -> Self {
        Self { peers, breakers, http, client: RefCell::default() }
    }

    /// The client for this connect timeout. When the timeout changes, the client is replaced with its connections.
    fn client(&self, connect_timeout: Duration) -> Client {
        let mut current = self.client.borrow_mut();
        match &*current {
            Some((timeout, client)) if *timeout == connect_timeout => client.clone(),
            _ => {
                let client = connection::client(connect_timeout, self.peers.tls.clone());
                *current = Some((connect_timeout, client.clone()));
                client
            }
        }
    }

    /// Sends a request to its service and waits for the head of the response.
    ///
    /// # Errors
    /// Those of the client's body, and those of a service that cannot be reached or does not respond.
    pub(crate) async fn forward(
        &self,
        request: &HttpRequest,
        body: &ClientBody,
        admitted: Admitted<'_>,
        destinations: &Destinations,
    ) -> Result<HttpResponse> {
        let (method, upstream) = (request.method(), admitted.upstream);
        let watch = Watch::new();
        let upload = Upload::new(request, body, &self.http, &watch)?;
        let call = self.call(request, admitted, destinations)?;
        let started = Instant::now();
        let response = if method.is_safe() {
            // If the client disconnects, the call is cancelled.
            call.run(upload, watch).await
        } else {
            // A write continues without its client, which could not know how far it got.
            let run = call.run(upload, watch).in_current_span();
            rt::spawn(run).await.map_err(Error::internal).flatten()
        };
        measure(upstream, &response, started.elapsed());
        let (response, permits) = response?;
        respond(upstream, response, permits, method == Method::HEAD, destinations.silence_timeout)
    }

    fn call(&self, request: &HttpRequest, admitted: Admitted<'_>, to: &Destinations) -> Result<Call> {
        let Admitted { caller, origin, upstream, path, permits } = admitted;
        let token = self.peers.signer.sign(upstream.name(), &caller)?;
        let address =
            to.addresses.get(&upstream).ok_or_else(|| Error::internal("the service has no address"))?;
        Ok(Call {
            client: self.client(to.connect_timeout),
            upstream,
            method: request.method().clone(),
            uri: uri(address.clone(), path, request.query_string())?,
            headers: headers::to_upstream(request, origin, &token, &request_id(request))?,
            signer: self.peers.signer.clone(),
            caller,
            silence: to.silence_timeout,
            circuit: self.breakers.pass(upstream)?,
            permits,
        })
    }
}

fn uri(address: Uri, path: &str, query: &str) -> Result<Uri> {
    let mut parts = address.into_parts();
    let text = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let parsed = text
        .parse::<PathAndQuery>()
        .map_err(|cause| Error::invalid("uri", "is not a valid URI").context(cause))?;
    parts.path_and_query = Some(parsed);
    Uri::from_parts(parts).map_err(Error::internal)
}

fn measure(upstream: Upstream, response: &Result<CallResponse>, took: Duration) {
    let outcome = match response {
        Ok((response, _)) => response.status().as_u16().to_string(),
        Err(error) => error.kind().as_str().to_owned(),
    };
    let labels = [KeyValue::new("upstream", upstream.name()), KeyValue::new("outcome", outcome)];
    telemetry::measure("gateway.upstream.duration", &labels, took);
}

/// Converts a service's response to the client's.
fn respond(
    upstream: Upstream,
    mut response: ClientResponse,
    permits: Permits,
    head_only: bool,
    silence: Duration,
) -> Result<HttpResponse> {
    let status = response.status();
    reject_unusable(upstream.name(), &response)?;
    let payload = response.take_payload();
    let body = match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Download::none(),
        _ if head_only => Download::for_head(response.headers()),
        _ => Download::from_response(response.headers(), payload, silence),
    };
    let mut forwarded = HttpResponse::with_body(status, body.holding(permits));
    *forwarded.headers_mut() = headers::from_upstream(response.headers());
    Ok(forwarded.map_into_boxed_body())
}

/// Rejects responses that must not reach a client.
fn reject_unusable(name: &'static str, response: &ClientResponse) -> Result<()> {
    let status = response.status();
    let has_envelope = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let error = match status {
        // Services accept only tokens that the gateway signed, so they reject the gateway and not the client.
        StatusCode::UNAUTHORIZED => {
            let message = format!("The service '{name}' does not accept this gateway's signature.");
            Error::new(Kind::Upstream, message)
        }
        StatusCode::SERVICE_UNAVAILABLE if !has_envelope => {
            Error::service_unavailable(name, "503 without an envelope")
        }
        status if status.is_informational() || (status.is_server_error() && !has_envelope) => {
            Error::new(Kind::Upstream, format!("The service '{name}' sent an invalid response."))
                .context(status)
        }
        _ => return Ok(()),
    };
    Err(error)
}
