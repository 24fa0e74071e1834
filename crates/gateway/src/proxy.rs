//! One request through the gateway: who, where to, there and back.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderName},
        uri::PathAndQuery,
    },
    rt,
    web::{Data, Payload},
};
use awc::{Client, ClientResponse};
use domain::{Error, Kind, Result};
use identity::Caller;
use opentelemetry::KeyValue;
use runtime::{error::log, telemetry};
use tracing::Instrument;
use web::{RouteName, request_id};

use crate::{
    call::{Answer, Call},
    connection, headers,
    limits::{self, Origin, Shown, Taken},
    load::Held,
    routes::{self, Upstream},
    settings::GatewaySettings,
    state::{Live, Shared},
    stream::{ClientBody, Download, Refusal, Upload, Watch},
    wire::Exchange,
};

/// The methods that any path takes. All but `OPTIONS` are passed on.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// More than any client needs; with ours added it stays under what the services can read.
const MAX_HEADERS: usize = 64;

/// What a worker thread passes requests on with.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    /// With the time that its connections may take to be made.
    client: RefCell<(Duration, Client)>,
}

/// A request's token, out of the share of an address or a caller.
#[derive(Debug, Default)]
struct Share {
    taken: Option<Taken>,
    /// How long its refusal waits, if there was no token.
    delay: Duration,
}

impl Share {
    /// Takes a token; `of` names whose it is.
    ///
    /// # Errors
    /// [`Kind::RateLimited`] when there is none.
    fn take(
        &mut self,
        live: &Live,
        taken: Option<Taken>,
        of: impl Fn() -> String,
        why: &'static str,
    ) -> Result<()> {
        self.taken = taken;
        limits::pass(taken, why).inspect_err(|_| self.delay = live.limits.refusal_delay(&of()))
    }
}

/// The handler of every path that is not the gateway's own.
pub(crate) async fn forward(request: HttpRequest, body: Payload, proxy: Data<Proxy>) -> HttpResponse {
    let body = Rc::new(RefCell::new(body.into_inner()));
    let mut share = Share::default();
    let mut answer = match proxy.pass_on(&request, &body, &mut share).await {
        Ok(answer) => answer,
        Err(error) => {
            // It holds no place meanwhile.
            if !share.delay.is_zero() {
                tokio::time::sleep(share.delay).await;
            }
            refuse(&request, &error, body)
        }
    };
    if let Some(share) = share.taken {
        let told = [(RATE_LIMIT_POLICY, share.policy()), (RATE_LIMIT, share.state())];
        for (name, value) in told {
            if let Some(value) = value {
                answer.headers_mut().insert(name, value);
            }
        }
    }
    answer
}

/// An answer of our own, as the envelope.
fn refuse(request: &HttpRequest, error: &Error, unread: ClientBody) -> HttpResponse {
    log(error);
    let mut answer = web::error::response(error, &request_id(request)).map_body(|_, body| {
        body.try_into_bytes().map_or_else(|body| body, |text| Refusal::new(text, unread).boxed())
    });
    if error.kind() == Kind::Unauthorized {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    answer
}

impl Proxy {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let within = shared.live().settings.connect_timeout;
        let client = connection::client(within, shared.peers.tls.clone());
        Self { shared, client: RefCell::new((within, client)) }
    }

    /// The client that keeps to the settings of now; its connections go with it when those change.
    fn client(&self, within: Duration) -> Client {
        let mut client = self.client.borrow_mut();
        if client.0 != within {
            *client = (within, connection::client(within, self.shared.peers.tls.clone()));
        }
        client.1.clone()
    }

    /// What holds now.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.shared.live()
    }

    /// Who calls, if they may call now. Whose share of requests it came out of is put into `share`.
    async fn admit(
        &self,
        request: &HttpRequest,
        live: &Live,
        origin: Origin,
        share: &mut Share,
    ) -> Result<Caller> {
        let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
        // A proxy's connections are shared by its clients: they say nothing of any of them.
        let is_direct = request.peer_addr().map(|peer| peer.ip().to_canonical()) == origin.ip;
        let shown = Shown {
            is_guessable: live.authenticator.is_guessable(request.headers()),
            after_a_bad_one: is_direct && exchange.has_shown_bad_credential(),
        };
        let attempt = live.limits.attempt(origin, request.headers(), shown).await?;
        // The caller first: a stranger learns nothing of what is here.
        let found = live.authenticator.caller(request.headers()).await;
        if found.as_ref().is_err_and(|error| error.kind() == Kind::Unauthorized) {
            exchange.refused_credential();
        }
        let caller = live.limits.tried(attempt, found)?;
        // Who operates all platforms is no tenant among others: theirs is what the address and the process bear.
        if !caller.is_operator() {
            let taken = live.limits.of_caller(&caller.id);
            share.take(live, taken, || caller.id.clone(), "You have sent too many requests")?;
        }
        Ok(caller)
    }

    async fn pass_on(
        &self,
        request: &HttpRequest,
        body: &ClientBody,
        share: &mut Share,
    ) -> Result<HttpResponse> {
        let (shared, live) = (&self.shared, self.live());
        let limits = &live.limits.settings;
        let place = shared.load.enter(limits.max_in_flight)?;
        let origin = live.limits.proxies.origin(request.peer_addr().map(|peer| peer.ip()), request.headers());
        let address = || format!("address {}", origin.ip.map(|ip| ip.to_string()).unwrap_or_default());
        let taken = live.limits.of_address(origin);
        share.take(&live, taken, address, "Too many requests come from your address")?;
        share.taken = None;
        if let Some(answer) = live.cors.preflight(request) {
            return Ok(answer);
        }
        if request.method() == Method::OPTIONS && shared.docs.is_open(request.path()) {
            return shared.docs.options(request.path());
        }
        let caller = self.admit(request, &live, origin, share).await?;
        let target = match (request.method(), request.uri().path()) {
            (&Method::OPTIONS, "*") => return shared.docs.options("*"),
            _ => self.target(request)?,
        };
        if request.method() == Method::OPTIONS {
            return shared.docs.options(request.uri().path());
        }
        refuse_encoded(request)?;
        let method = request.method();
        let own = shared.load.of_caller(&caller.id, limits.per_caller_in_flight)?;
        let cost = shared.docs.costs.of_request(method, request.uri().path());
        let there = live.limits.turns.at(target.upstream, &caller, cost).await?;
        let watch = Watch::new();
        let upload = Upload::of(request, body, &shared.http, &watch)?;
        let token = shared.peers.signer.sign(target.upstream.name(), &caller)?;
        let address = live
            .addresses
            .get(&target.upstream)
            .ok_or_else(|| Error::internal("a service without address"))?;
        let call = Call {
            client: self.client(live.settings.connect_timeout),
            upstream: target.upstream,
            method: method.clone(),
            uri: uri(address.clone(), &target.path, request.query_string())?,
            headers: headers::to_upstream(request, origin, &token, &request_id(request))?,
            signer: shared.peers.signer.clone(),
            caller,
            silence: live.settings.upstream_timeout,
            passing: shared.breakers.pass(target.upstream)?,
            held: (place, there, own),
        };
        let started = Instant::now();
        let answer = if method.is_safe() {
            // A client that leaves takes the call with it.
            call.run(upload, watch).await
        } else {
            // A write that has arrived goes on without its client, who could not tell how far it came.
            let run = call.run(upload, watch).in_current_span();
            rt::spawn(run).await.map_err(Error::internal).flatten()
        };
        measure(target.upstream, &answer, started.elapsed());
        let (answer, held) = answer?;
        respond(target.upstream, answer, held, method == Method::HEAD, live.settings.upstream_timeout)
    }

    /// Where a request goes.
    fn target<'a>(&self, request: &'a HttpRequest) -> Result<routes::Target<'a>> {
        let (path, method) = (request.uri().path(), request.method());
        let refusal = || self.shared.docs.paths.refusal(path, method.as_str());
        let target = match routes::find(path) {
            Err(_) if routes::OWN.contains(&path) => return Err(refusal()),
            found => found?,
        };
        request.extensions_mut().insert(RouteName(target.name));
        if METHODS.contains(&method.as_str()) { Ok(target) } else { Err(refusal()) }
    }
}

/// Refuses a body that is packed: nothing here or behind unpacks it.
fn refuse_encoded(request: &HttpRequest) -> Result<()> {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_plain = |value: &header::HeaderValue| {
        value
            .to_str()
            .is_ok_and(|list| list.split(',').all(|one| one.trim().eq_ignore_ascii_case("identity")))
    };
    if encodings.all(is_plain) {
        return Ok(());
    }
    let message = "The body has a Content-Encoding. Send it without one";
    Err(Error::new(Kind::UnsupportedMediaType, message))
}

/// Refuses a head beyond the limits.
pub(crate) fn refuse_oversized(request: &HttpRequest, settings: &GatewaySettings) -> Result<()> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > settings.max_uri_bytes {
        let message = format!("Path and query are longer than {} bytes", settings.max_uri_bytes);
        return Err(Error::new(Kind::UriTooLong, message).with("maxBytes", settings.max_uri_bytes));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > settings.max_header_bytes || headers.len() > MAX_HEADERS {
        let message = format!(
            "There are more than {MAX_HEADERS} headers, or {} bytes of them",
            settings.max_header_bytes
        );
        return Err(Error::new(Kind::HeadersTooLarge, message)
            .with("maxHeaders", MAX_HEADERS)
            .with("maxBytes", settings.max_header_bytes));
    }
    Ok(())
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
    held: Held,
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
    let mut response = HttpResponse::with_body(status, body.holding(held));
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
