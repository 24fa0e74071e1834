//! Entities over gRPC.

use domain::{EntityId, PlatformId, Result};
use rpc::{
    enum_number, parse, parse_optional, read_ctx,
    registry::{EnsureTenantRequest, EnsureTenantResponse, LocateEntityRequest, LocateEntityResponse},
    write_ctx,
};
use tonic::Request;

use super::{ops, store};
use crate::{App, platforms};

pub(crate) async fn locate_entity(
    app: &App,
    request: Request<LocateEntityRequest>,
) -> Result<LocateEntityResponse> {
    let (ctx, message) = (read_ctx(&request)?, request.get_ref());
    let platform: PlatformId = parse("platform_id", &message.platform_id)?;
    let entity: Option<EntityId> = parse_optional("entity_id", message.entity_id.as_deref())?;
    let scope = ctx.platform(&platform)?;
    let Some(id) = entity else {
        let platform = app.db.read(&ctx, async |c| platforms::store::get(c, &scope, false).await).await?;
        return Ok(LocateEntityResponse { ancestors: vec![], platform_status: enum_number(platform.status) });
    };
    let (platform, found) = app
        .db
        .read(&ctx, async |c| {
            tokio::try_join!(platforms::store::get(c, &scope, false), store::get(c, &scope, &id))
        })
        .await?;
    let ids = std::iter::once(&found.id).chain(found.path.iter().rev());
    Ok(LocateEntityResponse {
        ancestors: ids.map(ToString::to_string).collect(),
        platform_status: enum_number(platform.status),
    })
}

pub(crate) async fn ensure_tenant(
    app: &App,
    request: Request<EnsureTenantRequest>,
) -> Result<EnsureTenantResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let (name, slug) = (parse("name", &message.name)?, parse("slug", &message.slug)?);
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let done = ops::ensure_tenant(app, &ctx, &scope, name, slug).await?;
    Ok(EnsureTenantResponse { entity_id: done.value.id.to_string() })
}
