//! Entities over gRPC.

use domain::Result;
use kit::grpc::write_ctx;
use rpc::{
    parse,
    registry::{EnsureTenantRequest, EnsureTenantResponse},
};
use tonic::Request;

use super::ops;
use crate::App;

pub(crate) async fn ensure_tenant(
    app: &App,
    request: Request<EnsureTenantRequest>,
) -> Result<EnsureTenantResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let (name, slug) = (parse("name", &asked.name)?, parse("slug", &asked.slug)?);
    let done = ops::ensure_tenant(app, &ctx, &parse("platform_id", &asked.platform_id)?, name, slug).await?;
    Ok(EnsureTenantResponse { entity_id: done.value.id.to_string() })
}
