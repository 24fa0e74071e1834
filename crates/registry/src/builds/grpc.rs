//! Builds over gRPC.

use domain::{Error, Result, build::BuildStatus};
use rpc::{
    parse, parse_enum,
    registry::{FinishBuildRequest, FinishBuildResponse, StartBuildRequest, StartBuildResponse},
    write_ctx,
};
use tonic::Request;

use super::{model::NewBuild, ops};
use crate::App;

pub(crate) async fn start_build(
    app: &App,
    request: Request<StartBuildRequest>,
) -> Result<StartBuildResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let scope = ctx.platform(&parse("platform_id", &asked.platform_id)?)?;
    let new = NewBuild {
        id: parse("build_id", &asked.build_id)?,
        environment: parse_enum("environment", asked.environment)?,
        triggered_by: parse_enum("triggered_by", asked.triggered_by)?,
        repo_name: asked.repo_name,
        last_commit_sha: asked.last_commit_sha,
    };
    ops::start(app, &ctx, &scope, new).await?;
    Ok(StartBuildResponse {})
}

pub(crate) async fn finish_build(
    app: &App,
    request: Request<FinishBuildRequest>,
) -> Result<FinishBuildResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let status = parse_enum("status", asked.status)?;
    if status == BuildStatus::Building {
        return Err(Error::invalid("status", "must say how the build ended"));
    }
    let scope = ctx.platform(&parse("platform_id", &asked.platform_id)?)?;
    let id = parse("build_id", &asked.build_id)?;
    ops::finish(app, &ctx, &scope, id, status, asked.cf_deployment_id).await?;
    Ok(FinishBuildResponse {})
}
