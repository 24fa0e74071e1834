//! The HTTP server of a service.

use std::{net::TcpListener, time::Duration};

use actix_web::{App, HttpRequest, HttpServer, dev::Server, http::Method, middleware::from_fn, web};
use identity::{
    Verifier,
    tls::{HTTP1, Tls},
};
use runtime::{Probe, shutdown::Shutdown};
use serde::{Deserialize, Serialize};
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_actix_web::AppExt;

use super::{HttpError, HttpResult, Paths, Workers, document, entry, head, health, operations::Operations};

pub use utoipa_actix_web::service_config::ServiceConfig;

/// Adds the routes of a service.
pub type Routes = fn(&mut ServiceConfig);

/// The address and the limits of an HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port. Port 0 selects any free port.
    #[schema(value_type = String)]
    pub bind: std::net::SocketAddr,
    /// Number of worker threads. 0 means one per core.
    #[schema(maximum = 256)]
    pub workers: usize,
    /// Maximum size of a request body, in bytes.
    #[schema(minimum = 1024)]
    pub max_body_bytes: usize,
    /// Time limit for the head of a request to arrive.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub head_timeout: Duration,
    /// Time limit for the body of a request to arrive.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub body_timeout: Duration,
    /// Time limit of a whole request.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub request_timeout: Duration,
    /// Time limit for requests in progress to end when the process stops.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub drain_timeout: Duration,
}

/// The components that all worker threads share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The settings of the server.
    pub settings: HttpSettings,
    /// The verifier of the callers' tokens.
    pub verifier: Verifier,
    /// The probes of `/ready`.
    pub probes: Vec<Probe>,
}

/// Starts the server. It ends once the shutdown has begun and the requests in progress have ended. `state` is called
/// once per worker thread, so that its pools and channels belong to the thread that uses them.
///
/// # Errors
/// When the server cannot start.
pub fn serve<S: 'static>(
    listener: TcpListener,
    tls: Option<&Tls>,
    mut shared: Shared,
    shutdown: Shutdown,
    routes: Routes,
    state: impl Fn() -> anyhow::Result<S> + Send + Clone + 'static,
) -> anyhow::Result<Server> {
    let document = document(routes, OpenApi::default());
    let operations = web::Data::new(Operations::from_document(document.clone())?);
    let paths = web::Data::new(Paths::from_document(document));
    let settings = shared.settings.clone();
    // If the state cannot be created, the start fails here and not in a worker thread.
    drop(state()?);
    let workers = Workers::default();
    shared.probes.push(workers.probe());
    let mut server = HttpServer::new(move || {
        workers.watch();
        let state = state().map(web::Data::new);
        App::new()
            .into_utoipa_app()
            .app_data(web::Data::new(shared.settings.clone()))
            .app_data(web::Data::new(shared.verifier.clone()))
            .app_data(web::Data::new(shared.probes.clone()))
            .app_data(paths.clone())
            .app_data(operations.clone())
            .configure(|config| {
                if let Ok(state) = state {
                    config.app_data(state);
                }
                routes(config);
            })
            .into_app()
            .configure(health::configure)
            .default_service(web::to(unmatched))
            .wrap(from_fn(head::as_get))
            .wrap(from_fn(entry::enter))
    })
    .client_request_timeout(settings.head_timeout)
    .shutdown_timeout(settings.drain_timeout.as_secs())
    .disable_signals();
    if settings.workers > 0 {
        server = server.workers(settings.workers);
    }
    let server = match tls {
        None => server.listen(listener)?,
        Some(tls) => server.listen_rustls_0_23(listener, tls.server_config(&[HTTP1]))?,
    };
    let server = server.run();
    let handle = server.handle();
    shutdown.clone().spawn(async move {
        shutdown.begun().await;
        handle.stop(true).await;
    });
    Ok(server)
}

async fn unmatched(request: HttpRequest, paths: web::Data<Paths>) -> HttpResult {
    let method = head::method(&request);
    if method == Method::OPTIONS {
        return Ok(paths.options(request.path())?);
    }
    Err(HttpError(paths.rejection(request.path(), method.as_str())))
}
