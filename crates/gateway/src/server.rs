//! The gateway as a server.

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, Error as ActixError, HttpServer,
    body::MessageBody,
    dev::{Extensions, ServiceRequest, ServiceResponse},
    error::InternalError,
    http::header::HeaderMap,
    middleware::{Next, from_fn},
    rt::net::TcpStream,
    web,
};
use anyhow::{Context, Result};
use futures_util::future::BoxFuture;
use kit::{http, shutdown::Shutdown};
use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};

use crate::{
    headers, health,
    proxy::{self, Proxy},
    reload::Reload,
    settings::Settings,
    state::Shared,
};

/// The name of the process: of its key, and of the issuer of its tokens.
pub const NAME: &str = "gateway";

/// How long an unused connection of a client is kept: longer than the minute of the usual load balancers, so that it
/// is they who close.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long what a refused client still sends is read and thrown away, so that it comes to read the refusal.
const LINGER: Duration = Duration::from_secs(3);

/// A gateway that runs.
pub struct Gateway {
    /// Where it serves HTTP.
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
    /// Starts to serve. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When a setting is not usable, the key cannot be read or the address is taken.
    pub fn build(settings: Settings, shutdown: Shutdown) -> Result<Self> {
        let shared = Arc::new(Shared::new(&settings)?);
        if let Some(tls) = &shared.peers.tls {
            tls.keep_current(&shutdown);
        }
        let probes = health::probes(&shared);
        let listener = std::net::TcpListener::bind(settings.http.bind)
            .with_context(|| format!("cannot listen on {}", settings.http.bind))?;
        let http = listener.local_addr()?;
        let limits = settings.http.clone();
        let (reload, current) = (Reload::new(Arc::clone(&shared), settings), Arc::clone(&shared));
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(shared.http.clone()))
                .app_data(web::Data::new(probes.clone()))
                .app_data(web::Data::new(Proxy::new(Arc::clone(&shared))))
                .configure(http::health)
                .configure(|config| shared.docs.configure(config))
                .default_service(web::to(proxy::forward))
                .wrap(from_fn(http::enter))
                .wrap(from_fn(harden))
        })
        .on_connect(cut_when_stalled(current))
        .client_request_timeout(limits.head_timeout)
        .client_disconnect_timeout(LINGER)
        .keep_alive(KEEP_ALIVE)
        .tcp_nodelay(true)
        // Otherwise a client that is gone looks like one that is only done with sending.
        .h1_allow_half_closed(false)
        .shutdown_timeout(limits.drain_timeout.as_secs())
        .disable_signals();
        if limits.workers > 0 {
            server = server.workers(limits.workers);
        }
        let server = server.listen(listener)?.run();
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
            // A server that ended by itself takes the process down, so that its supervisor sees it.
            shutdown.begin();
            shutdown.drained().await;
            Ok(ended??)
        });
        Ok(Self { http, reload, run })
    }

    /// What tells it its settings anew while it runs.
    pub fn reloader(&self) -> Reload {
        self.reload.clone()
    }

    /// Runs until its shutdown has begun and the requests under way have ended.
    ///
    /// # Errors
    /// When the server ends by itself.
    pub async fn run(self) -> Result<()> {
        self.run.await
    }
}

async fn harden<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, ActixError> {
    let proxy = request.app_data::<web::Data<Proxy>>().cloned();
    let asked = (request.peer_addr().map(|peer| peer.ip()), request.headers().clone());
    match next.call(request).await {
        Ok(mut answer) => {
            finish(&proxy, &asked, answer.headers_mut());
            Ok(answer)
        }
        // It stands for an answer, which is written as it is.
        Err(error) => {
            let mut answer = error.error_response();
            finish(&proxy, &asked, answer.headers_mut());
            Err(InternalError::from_response(error, answer).into())
        }
    }
}

/// What every answer gets, by who asked.
fn finish(
    proxy: &Option<web::Data<Proxy>>,
    (peer, asked): &(Option<std::net::IpAddr>, HeaderMap),
    answer: &mut HeaderMap,
) {
    let Some(live) = proxy.as_ref().map(|proxy| proxy.live()) else { return headers::harden(answer, false) };
    headers::harden(answer, live.limits.proxies.origin(*peer, asked).is_https);
    live.cors.mark(answer, live.cors.allowed(asked));
}

/// A client that does not read what it asked for holds a connection to a service as well as its own. The server has
/// no limit for that, the kernel does.
fn cut_when_stalled(shared: Arc<Shared>) -> impl Fn(&dyn Any, &mut Extensions) {
    move |io, _| {
        let limit = shared.live().settings.stalled_client_timeout;
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        if let Some(Err(error)) =
            io.downcast_ref::<TcpStream>().map(|io| setsockopt(io, TcpUserTimeout, &limit))
        {
            tracing::warn!(%error, "a stalled client will not be cut off");
        }
    }
}
