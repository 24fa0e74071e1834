//! The gRPC server of a service.

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use utoipa::ToSchema;

use super::Access;
use crate::shutdown::Shutdown;

/// Where a service serves gRPC.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcSettings {
    /// Address and port; port 0 takes any free one.
    #[schema(value_type = String)]
    pub bind: std::net::SocketAddr,
}

/// Serves until the shutdown begins, then lets the calls under way end.
///
/// # Errors
/// When the server ends by itself.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    access: Access,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (_, health) = tonic_health::server::health_reporter();
    Server::builder()
        .layer(access)
        .add_routes(routes.add_service(health))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move { shutdown.begun().await })
        .await?;
    Ok(())
}
