//! Stacks over gRPC.

use domain::{Name, Result};
use kit::grpc::{read_ctx, write_ctx};
use rpc::{
    parse, parse_optional,
    registry::{
        EnsureStackRequest, EnsureStackResponse, TemplateUsageRequest, TemplateUsageResponse, VersionUsage,
    },
};
use tonic::Request;

use super::{
    model::{NewStack, Usage},
    ops, store,
};
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

pub(crate) async fn template_usage(
    app: &App,
    request: Request<TemplateUsageRequest>,
) -> Result<TemplateUsageResponse> {
    let scope = read_ctx(&request)?.caller.scope;
    let template: Name = parse("template_id", &request.get_ref().template_id)?;
    let rows = app.db.read(async |c| store::usage(c, &scope, &template).await).await?;
    let mut answer = TemplateUsageResponse::default();
    for Usage { template_version, stacks, platforms } in rows {
        let (stacks, platforms) = (stacks.unsigned_abs(), platforms.unsigned_abs());
        match template_version {
            Some(version) => answer.versions.push(VersionUsage { version, stacks, platforms }),
            None => answer.platforms = platforms,
        }
    }
    Ok(answer)
}
