//! The gateway's HTTP server.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, error::DispatchError};
use actix_server::Server;
use actix_service::{ServiceFactoryExt, apply_fn_factory, fn_service, map_config};
use actix_web::{
    App, Error as ActixError,
    body::MessageBody,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    error::InternalError,
    http::header::HeaderMap,
    middleware::{Next, from_fn},
    rt::net::TcpStream,
    web::{Data, to},
};
use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
use rpc::Peers;
use runtime::{Probe, shutdown::Shutdown};
use web::HttpSettings;

use crate::{
    NAME,
    assembly::Assembly,
    breaker::Breakers,
    compress::compress,
    docs::Docs,
    forward::Forwarder,
    health,
    load::Load,
    policy::{CurrentPolicy, Policy},
    proxy::{self, Proxy},
    reload::Reload,
    request_head::reject_oversized,
    security_headers,
    settings::Settings,
    wire::{self, Connection, Timeouts},
};

/// Time for which the remaining data of a rejected client is read and discarded, so that the client can read the
/// response.
const LINGER: Duration = Duration::from_secs(3);
/// Time for which a client that has closed its sending side gets a response. A client that is gone looks the same, and
/// a request that nobody waits for is not continued longer than this.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(4);

/// A running gateway.
pub struct Gateway {
    /// The address of the HTTP server.
    pub http: SocketAddr,
    reload: Reload,
    run: BoxFuture<'static, Result<()>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway(http {})", self.http)
    }
}

impl Gateway {
    /// Starts the server. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When a setting is not valid, the key cannot be read, or the address is already in use.
    pub fn build(settings: Settings, shutdown: Shutdown) -> Result<Self> {
        let assembly = Arc::new(Assembly::new(&settings)?);
        let peers = &assembly.peers;
        if let Some(tls) = &peers.tls {
            tls.reload_periodically(&shutdown);
        }
        let app = AppFactory {
            probes: health::probes(&assembly.policy, &assembly.breakers, peers.tls.as_ref()),
            policy: Arc::clone(&assembly.policy),
            docs: Arc::new(Docs::new().context("the API's document")?),
            load: Load::default(),
            peers: peers.clone(),
            breakers: assembly.breakers.clone(),
            http: settings.http.clone(),
        };
        let listener = TcpListener::bind(settings.http.bind)
            .with_context(|| format!("cannot listen on {}", settings.http.bind))?;
        let http = listener.local_addr()?;
        let server = serve(listener, http, app)?;
        let reload = Reload::new(assembly, settings);
        let handle = server.handle();
        let stopping = shutdown.clone();
        shutdown.spawn(async move {
            stopping.begun().await;
            handle.stop(true).await;
        });
        let server = tokio::spawn(server);
        tracing::info!(service = NAME, %http, "serving");
        let run = Box::pin(async move {
            let ended = server.await;
            // If the server ends by itself, the process stops, so that its supervisor notices.
            shutdown.begin();
            shutdown.drained().await;
            Ok(ended??)
        });
        Ok(Self { http, reload, run })
    }

    /// Returns a handle that reloads the settings.
    pub fn reloader(&self) -> Reload {
        self.reload.clone()
    }

    /// Runs until the shutdown has begun and the requests in progress have ended.
    ///
    /// # Errors
    /// When the server ends without a shutdown.
    pub async fn run(self) -> Result<()> {
        self.run.await
    }
}

async fn harden<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, ActixError> {
    let proxy = request.app_data::<Data<Proxy>>().cloned();
    let client = (request.peer_addr().map(|peer| peer.ip()), request.headers().clone());
    match next.call(request).await {
        Ok(mut response) => {
            finish(&proxy, &client, response.headers_mut());
            Ok(response)
        }
        // The error contains a complete response.
        Err(error) => {
            let mut response = error.error_response();
            finish(&proxy, &client, response.headers_mut());
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// Adds the security and CORS headers for a client to a response.
fn finish(
    proxy: &Option<Data<Proxy>>,
    (peer, request_headers): &(Option<std::net::IpAddr>, HeaderMap),
    headers: &mut HeaderMap,
) {
    let Some(policy) = proxy.as_ref().map(|proxy| proxy.policy()) else {
        return security_headers::harden(headers, false);
    };
    security_headers::harden(headers, policy.admission.origin(*peer, request_headers).is_https);
    policy.cors.add_headers(headers, policy.cors.allowed(request_headers));
}

/// The components from which each worker thread builds its application.
struct AppFactory {
    policy: CurrentPolicy,
    docs: Arc<Docs>,
    load: Load,
    peers: Peers,
    breakers: Breakers,
    http: HttpSettings,
    probes: Vec<Probe>,
}

impl AppFactory {
    fn proxy(&self) -> Proxy {
        let forwarder = Forwarder::new(self.peers.clone(), self.breakers.clone(), self.http.clone());
        Proxy::new(Arc::clone(&self.policy), Arc::clone(&self.docs), self.load.clone(), forwarder)
    }
}

/// Starts the server. It is assembled from its parts, so that each stream passes through a [`Connection`].
fn serve(listener: TcpListener, at: SocketAddr, factory: AppFactory) -> Result<Server> {
    let limits = &factory.http;
    let mut server = Server::build().shutdown_timeout(limits.drain_timeout.as_secs()).disable_signals();
    if limits.workers > 0 {
        server = server.workers(limits.workers);
    }
    let (factory, draining) = (Arc::new(factory), server.graceful_shutdown_signal());
    let server = server.listen(NAME, listener, move || {
        let (policy, draining) = (Arc::clone(&factory.policy), draining.clone());
        let head_timeout = factory.http.head_timeout;
        let accept = move |io: TcpStream| {
            let accepted = accept(io, &policy.load(), head_timeout);
            async move { Ok::<_, DispatchError>(accepted) }
        };
        let app = App::new()
            .app_data(Data::new(factory.http.clone()))
            .app_data(Data::new(factory.probes.clone()))
            .app_data(Data::new(factory.proxy()))
            .configure(web::health)
            .configure(|config| factory.docs.configure(config))
            .default_service(to(proxy::forward))
            .wrap(from_fn(compress))
            .wrap(from_fn(check_head))
            .wrap(from_fn(web::enter))
            .wrap(from_fn(harden));
        let app = apply_fn_factory(app, |request, service: &_| wire::track(request, service));
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let draining = draining.clone();
                async move { draining.notified().await }
            })
            // `Connection` enforces these limits on every request.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(Duration::ZERO)
            .keep_alive(KeepAlive::Os)
            .h1_allow_half_closed(true)
            .local_addr(at)
            .on_connect_ext(|io: &Connection<TcpStream>, data| {
                data.insert(io.exchange());
            })
            .h1(map_config(app, |()| AppConfig::default()));
        fn_service(accept).and_then(http)
    })?;
    Ok(server.run())
}

/// Wraps a client's stream, with the limits of the current policy.
fn accept(
    io: TcpStream,
    policy: &Policy,
    head_timeout: Duration,
) -> (Connection<TcpStream>, Option<SocketAddr>) {
    let peer = io.peer_addr().ok();
    // A client that does not read its response also occupies a connection to a service. The HTTP server has no limit
    // for that, but the kernel does.
    let stalled = u32::try_from(policy.stalled_client_timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = setsockopt(&io, TcpUserTimeout, &stalled) {
        tracing::debug!(%error, "cannot set the timeout for a stalled client");
    }
    if let Err(error) = io.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY; small responses may be delayed");
    }
    let timeouts = Timeouts {
        head: head_timeout,
        keep_alive: policy.keep_alive_timeout,
        half_closed: HALF_CLOSED_TIMEOUT,
        linger: LINGER,
    };
    (Connection::new(io, timeouts), peer)
}

/// Enforces the limits on the head of every request.
async fn check_head<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, ActixError> {
    if let Some(proxy) = request.app_data::<Data<Proxy>>() {
        reject_oversized(request.request(), proxy.policy().head_limits).map_err(web::HttpError)?;
    }
    next.call(request).await
}
