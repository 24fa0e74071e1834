//! Forwarding: a request to its service, and the response back to the client.

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
    call::{Answer, Call},
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
    /// The path at the service.
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
        let upload = Upload::of(request, body, &self.http, &watch)?;
        let call = self.call(request, admitted, destinations)?;
        let started = Instant::now();
        let answer = if method.is_safe() {
            // A client that leaves takes the call with it.
            call.run(upload, watch).await
        } else {
            // A write that has arrived goes on without its client, who could not tell how far it came.
            let run = call.run(upload, watch).in_current_span();
            rt::spawn(run).await.map_err(Error::internal).flatten()
        };
        measure(upstream, &answer, started.elapsed());
        let (answer, permits) = answer?;
        respond(upstream, answer, permits, method == Method::HEAD, destinations.silence_timeout)
    }

    fn call(&self, request: &HttpRequest, admitted: Admitted<'_>, to: &Destinations) -> Result<Call> {
        let Admitted { caller, origin, upstream, path, permits } = admitted;
        let token = self.peers.signer.sign(upstream.name(), &caller)?;
        let address =
            to.addresses.get(&upstream).ok_or_else(|| Error::internal("a service without address"))?;
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
        .map_err(|cause| Error::invalid("uri", "cannot be read").context(cause))?;
    parts.path_and_query = Some(parsed);
    Uri::from_parts(parts).map_err(Error::internal)
}

fn measure(upstream: Upstream, answer: &Result<Answer>, took: Duration) {
    let outcome = match answer {
        Ok((answer, _)) => answer.status().as_u16().to_string(),
        Err(error) => error.kind().as_str().to_owned(),
    };
    let labels = [KeyValue::new("upstream", upstream.name()), KeyValue::new("outcome", outcome)];
    telemetry::measure("gateway.upstream.duration", &labels, took);
}

/// A service's answer as the client gets it.
fn respond(
    upstream: Upstream,
    mut answer: ClientResponse,
    permits: Permits,
    head_only: bool,
    silence: Duration,
) -> Result<HttpResponse> {
    let status = answer.status();
    refuse_unfit(upstream.name(), &answer)?;
    let payload = answer.take_payload();
    let body = match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Download::none(),
        _ if head_only => Download::of_head(answer.headers()),
        _ => Download::of(answer.headers(), payload, silence),
    };
    let mut response = HttpResponse::with_body(status, body.holding(permits));
    *response.headers_mut() = headers::from_upstream(answer.headers());
    Ok(response.map_into_boxed_body())
}

/// Holds back the answers that are not meant for a client.
fn refuse_unfit(name: &'static str, answer: &ClientResponse) -> Result<()> {
    let status = answer.status();
    let told = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let error = match status {
        // Services know no credential but our signature: it is us whom they do not know.
        StatusCode::UNAUTHORIZED => {
            Error::new(Kind::Upstream, format!("{name} does not accept this gateway"))
        }
        StatusCode::SERVICE_UNAVAILABLE if !told => Error::unavailable(name, "503 without an envelope"),
        status if status.is_informational() || (status.is_server_error() && !told) => {
            Error::new(Kind::Upstream, format!("{name} gave an answer that cannot be passed on"))
                .context(status)
        }
        _ => return Ok(()),
    };
    Err(error)
}
