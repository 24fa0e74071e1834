//! Provisioning over gRPC: each method with who may call it and what handles it.

use domain::{Error, PlatformId, Result, job::JobType};
use rpc::{
    MethodsBuilder, Provisioning, enum_number, parse, parse_enum, parse_uuid,
    provisioning::{
        self as wire, CancelJobRequest, CancelJobResponse, DeleteRepositoryRequest, DeleteRepositoryResponse,
        EnqueueJobRequest, EnqueueJobResponse, EnsureRepositoryRequest, EnsureRepositoryResponse,
        ExplainJobRequest, ExplainJobResponse, GetJobRequest, GetJobResponse,
    },
    read_ctx, write_ctx,
};
use tonic::Request;

use crate::{
    App,
    jobs::{
        self, explain,
        model::Job,
        ops::{self, NewJob},
    },
    repository,
};

/// The methods.
pub(crate) fn methods() -> MethodsBuilder<Provisioning, App> {
    MethodsBuilder::default()
        .method(&["registry", "onboarding"], enqueue_job)
        .method(&["onboarding"], get_job)
        .method(&["registry", "onboarding"], explain_job)
        .method(&["onboarding"], cancel_job)
        .stream(&["onboarding"], jobs::watch)
        .method(&["onboarding"], ensure_repository)
        .method(&["onboarding"], delete_repository)
}

async fn enqueue_job(app: &App, request: Request<EnqueueJobRequest>) -> Result<EnqueueJobResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let input = serde_json::from_str(&asked.input).map_err(|why| Error::invalid("input", why.to_string()))?;
    let kind: JobType = parse_enum("type", asked.r#type)?;
    let platform: PlatformId = parse("platform_id", &asked.platform_id)?;
    let fairness_key = if asked.flow.is_empty() { platform.as_str() } else { &asked.flow };
    let new =
        NewJob { id: parse_uuid("job_id", &asked.job_id)?, kind, platform: &platform, input, fairness_key };
    let done = ops::enqueue(app, &ctx, new).await?;
    Ok(EnqueueJobResponse { job: Some(done.value.into()) })
}

async fn get_job(app: &App, request: Request<GetJobRequest>) -> Result<GetJobResponse> {
    let ctx = read_ctx(&request)?;
    let job = ops::get(app, &ctx, parse_uuid("job_id", &request.get_ref().job_id)?).await?;
    Ok(GetJobResponse { job: Some(job.into()) })
}

async fn explain_job(app: &App, request: Request<ExplainJobRequest>) -> Result<ExplainJobResponse> {
    let ctx = read_ctx(&request)?;
    let explanation = explain::of(app, &ctx, parse_uuid("job_id", &request.get_ref().job_id)?).await?;
    Ok(ExplainJobResponse { explanation: Some(explanation.into()) })
}

async fn cancel_job(app: &App, request: Request<CancelJobRequest>) -> Result<CancelJobResponse> {
    let ctx = write_ctx(&request)?;
    let asked = request.into_inner();
    let (kind, platform) = (parse_enum("type", asked.r#type)?, parse("platform_id", &asked.platform_id)?);
    let job =
        ops::cancel_once(app, &ctx, parse_uuid("job_id", &asked.job_id)?, kind, &platform, &asked.reason)
            .await?;
    Ok(CancelJobResponse { job: Some(job.into()) })
}

async fn ensure_repository(
    app: &App,
    request: Request<EnsureRepositoryRequest>,
) -> Result<EnsureRepositoryResponse> {
    let asked = request.into_inner();
    let platform = parse("platform_id", &asked.platform_id)?;
    let made = repository::ensure(app, &platform, &asked.platform_name, &asked.platform_slug).await?;
    Ok(EnsureRepositoryResponse { repo_name: made.name, commit_sha: made.commit })
}

async fn delete_repository(
    app: &App,
    request: Request<DeleteRepositoryRequest>,
) -> Result<DeleteRepositoryResponse> {
    repository::delete(app, &parse("platform_id", &request.get_ref().platform_id)?).await?;
    Ok(DeleteRepositoryResponse {})
}

impl From<Job> for wire::Job {
    fn from(job: Job) -> Self {
        let current = job.current_step();
        Self {
            current_step: current.map(|step| step.name.clone()),
            error: job.error.clone().or_else(|| current.and_then(|step| step.error.clone())),
            waiting_for: current.and_then(|step| step.waiting_for.clone()),
            id: job.id.to_string(),
            r#type: enum_number(job.r#type),
            platform_id: job.platform_id.to_string(),
            status: enum_number(job.status),
        }
    }
}
