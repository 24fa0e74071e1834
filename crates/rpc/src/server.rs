//! The gRPC server of a service.

use identity::tls::{HTTP2, MAX_CONNECTION_AGE, Tls};
use runtime::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use utoipa::ToSchema;

use super::Access;

/// Settings of the gRPC server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSettings {
    /// Address and port to listen on. Port 0 selects a free port.
    #[schema(value_type = String)]
    pub bind: std::net::SocketAddr,
}

/// Serves until the shutdown begins, then waits for the calls in progress.
///
/// # Errors
/// If the server fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    routes: Routes,
    access: Access,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (_, health) = tonic_health::server::health_reporter();
    let routes = routes.add_service(health);
    let stop = async move { shutdown.begun().await };
    let server = Server::builder();
    match tls {
        None => {
            let incoming = TcpListenerStream::new(listener);
            server.layer(access).add_routes(routes).serve_with_incoming_shutdown(incoming, stop).await?;
        }
        Some(tls) => {
            let incoming = tls.incoming(listener, HTTP2);
            let server = server.max_connection_age(MAX_CONNECTION_AGE).layer(access).add_routes(routes);
            server.serve_with_incoming_shutdown(incoming, stop).await?;
        }
    }
    Ok(())
}
