//! Secrets over gRPC.

use domain::Result;
use rpc::{
    parse, parse_enum,
    registry::{MarkSecretRequest, MarkSecretResponse},
    write_ctx,
};
use tonic::Request;

use super::ops;
use crate::App;

pub(crate) async fn mark_secret(
    app: &App,
    request: Request<MarkSecretRequest>,
) -> Result<MarkSecretResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let resource = parse("resource_id", &message.resource_id)?;
    let (name, status) = (parse("secret_name", &message.secret_name)?, parse_enum("status", message.status)?);
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    ops::mark(app, &ctx, &scope, resource, &name, status).await?;
    Ok(MarkSecretResponse {})
}
