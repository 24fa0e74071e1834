//! Stacks over gRPC.

use domain::Result;
use kit::grpc::write_ctx;
use rpc::{
    parse, parse_optional,
    registry::{EnsureStackRequest, EnsureStackResponse},
};
use tonic::Request;

use super::{model::NewStack, ops};
use crate::App;

pub(crate) async fn ensure_stack(
    app: &App,
    request: Request<EnsureStackRequest>,
) -> Result<EnsureStackResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let new = NewStack {
        tenant_id: parse("tenant_id", &asked.tenant_id)?,
        name: parse("name", &asked.name)?,
        is_default: asked.is_default,
        template: Some(parse("template_id", &asked.template_id)?),
        repo_name: parse_optional("repo_name", asked.repo_name.as_deref())?,
    };
    let stack = ops::ensure(app, &ctx, &parse("platform_id", &asked.platform_id)?, new).await?.value;
    Ok(EnsureStackResponse { stack_id: stack.id.to_string(), status: stack.status.to_string() })
}
