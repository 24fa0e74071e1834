//! Stacks over gRPC.

use domain::{Error, Name, Result, deployment::ServiceVersions, job::JobType};
use rpc::{
    enum_number, parse, parse_enum, parse_optional, read_ctx,
    registry::{
        BeginStackJobRequest, BeginStackJobResponse, ClearPlatformRequest, ClearPlatformResponse,
        EndStackJobRequest, EndStackJobResponse, EnsureStackRequest, EnsureStackResponse,
        ExplainStackRequest, ExplainStackResponse, GetStackRequest, GetStackResponse, RemoveStacksRequest,
        RemoveStacksResponse, StackJob, StackService, TemplateUsageRequest, TemplateUsageResponse,
        VersionUsage,
    },
    required, write_ctx,
};
use tonic::Request;

use super::{
    deletion, explain,
    model::{StackRequest, Usage},
    ops,
    report::{self, Job, Outcome},
    store,
};
use crate::App;

pub(crate) async fn ensure_stack(
    app: &App,
    request: Request<EnsureStackRequest>,
) -> Result<EnsureStackResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let new = StackRequest {
        tenant_id: parse("tenant_id", &message.tenant_id)?,
        name: parse("name", &message.name)?,
        is_default: message.is_default,
        template: Some(parse("template_id", &message.template_id)?),
        inputs: None,
        repo_name: parse_optional("repo_name", message.repo_name.as_deref())?,
    };
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let stack = ops::ensure(app, &ctx, &scope, new).await?.value;
    Ok(EnsureStackResponse { stack_id: stack.id.to_string(), status: enum_number(stack.status) })
}

fn read(message: Option<StackJob>) -> Result<Job> {
    let message = required("job", message)?;
    let kind = parse_enum("job.type", message.r#type)?;
    if !matches!(kind, JobType::ActivateStack | JobType::DeactivateStack) {
        return Err(Error::invalid("job.type", "must be the type of a stack job"));
    }
    Ok(Job {
        id: parse("job.job_id", &message.job_id)?,
        platform: parse("job.platform_id", &message.platform_id)?,
        stack: parse("job.stack_id", &message.stack_id)?,
        kind,
    })
}

fn service(versions: ServiceVersions) -> StackService {
    StackService {
        feature_id: versions.feature.to_string(),
        version: versions.after.map(|version| version.to_string()),
        version_before: versions.before.map(|version| version.to_string()),
    }
}

pub(crate) async fn begin_stack_job(
    app: &App,
    request: Request<BeginStackJobRequest>,
) -> Result<BeginStackJobResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let job = read(message.job)?;
    let input = match message.waits {
        true => report::wait(app, &ctx, &job).await?,
        false => report::begin(app, &ctx, &job).await?.value,
    };
    Ok(BeginStackJobResponse {
        superseded: input.superseded,
        owner_id: input.owner,
        services: input.services.into_iter().map(service).collect(),
        shared: input.shared.into_iter().map(enum_number).collect(),
        shared_before: input.shared_before.into_iter().map(enum_number).collect(),
    })
}

pub(crate) async fn end_stack_job(
    app: &App,
    request: Request<EndStackJobRequest>,
) -> Result<EndStackJobResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let mut outcome = Outcome { error: message.error, ..Outcome::default() };
    for one in message.served {
        outcome.served.insert(parse("served.feature_id", &one.feature_id)?, one.service_url);
    }
    report::end(app, &ctx, &read(message.job)?, &outcome).await?;
    Ok(EndStackJobResponse {})
}

pub(crate) async fn get_stack(app: &App, request: Request<GetStackRequest>) -> Result<GetStackResponse> {
    let ctx = read_ctx(&request)?;
    let message = request.into_inner();
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let id = parse("stack_id", &message.stack_id)?;
    let stack = app.db.read(&ctx, async |c| store::get(c, &scope, &id).await).await?;
    Ok(GetStackResponse {
        status: enum_number(stack.status),
        error: stack.error,
        provision_job_id: stack.provision_job_id.map(|job| job.to_string()),
    })
}

pub(crate) async fn explain_stack(
    app: &App,
    request: Request<ExplainStackRequest>,
) -> Result<ExplainStackResponse> {
    let ctx = read_ctx(&request)?;
    let message = request.into_inner();
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let explanation =
        explain::explain_any_stack(app, &ctx, &scope, &parse("stack_id", &message.stack_id)?).await?;
    Ok(ExplainStackResponse { explanation: Some(explanation.into()) })
}

pub(crate) async fn clear_platform(
    app: &App,
    request: Request<ClearPlatformRequest>,
) -> Result<ClearPlatformResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let job = parse("job_id", &message.job_id)?;
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    report::clear(app, &ctx, &scope, job).await?;
    Ok(ClearPlatformResponse {})
}

pub(crate) async fn remove_stacks(
    app: &App,
    request: Request<RemoveStacksRequest>,
) -> Result<RemoveStacksResponse> {
    let ctx = write_ctx(&request)?;
    let scope = ctx.platform(&parse("platform_id", &request.into_inner().platform_id)?)?;
    let jobs = deletion::remove_all(app, &ctx, &scope).await?;
    Ok(RemoveStacksResponse { job_ids: jobs.iter().map(ToString::to_string).collect() })
}

pub(crate) async fn template_usage(
    app: &App,
    request: Request<TemplateUsageRequest>,
) -> Result<TemplateUsageResponse> {
    let scope = read_ctx(&request)?.caller.scope;
    let template: Name = parse("template_id", &request.get_ref().template_id)?;
    let rows = app.db.service_read(async |c| store::usage(c, &scope, &template).await).await?;
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
