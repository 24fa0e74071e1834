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
    let message = request.into_inner();
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let new = NewBuild {
        id: parse("build_id", &message.build_id)?,
        environment: parse_enum("environment", message.environment)?,
        triggered_by: parse_enum("triggered_by", message.triggered_by)?,
        repo_name: message.repo_name,
        last_commit_sha: message.last_commit_sha,
    };
    ops::start(app, &ctx, &scope, new).await?;
    Ok(StartBuildResponse {})
}

pub(crate) async fn finish_build(
    app: &App,
    request: Request<FinishBuildRequest>,
) -> Result<FinishBuildResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let status = parse_enum("status", message.status)?;
    if status == BuildStatus::Building {
        return Err(Error::invalid("status", "must be the status of a finished build"));
    }
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let id = parse("build_id", &message.build_id)?;
    ops::finish(app, &ctx, &scope, id, status, message.cf_deployment_id).await?;
    Ok(FinishBuildResponse {})
}
