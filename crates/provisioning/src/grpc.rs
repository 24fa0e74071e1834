//! gRPC methods of provisioning, each with its allowed callers and its handler.

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

/// Returns the methods.
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
    let message = request.into_inner();
    let input =
        serde_json::from_str(&message.input).map_err(|reason| Error::invalid("input", reason.to_string()))?;
    let kind: JobType = parse_enum("type", message.r#type)?;
    let platform: PlatformId = parse("platform_id", &message.platform_id)?;
    let fairness_key = if message.flow.is_empty() { platform.as_str() } else { &message.flow };
    let new =
        NewJob { id: parse_uuid("job_id", &message.job_id)?, kind, platform: &platform, input, fairness_key };
    let outcome = ops::enqueue(app, &ctx, new).await?;
    Ok(EnqueueJobResponse { job: Some(outcome.value.into()) })
}

async fn get_job(app: &App, request: Request<GetJobRequest>) -> Result<GetJobResponse> {
    let ctx = read_ctx(&request)?;
    let job = ops::get(app, &ctx, parse_uuid("job_id", &request.get_ref().job_id)?).await?;
    Ok(GetJobResponse { job: Some(job.into()) })
}

async fn explain_job(app: &App, request: Request<ExplainJobRequest>) -> Result<ExplainJobResponse> {
    let ctx = read_ctx(&request)?;
    let explanation = explain::explain(app, &ctx, parse_uuid("job_id", &request.get_ref().job_id)?).await?;
    Ok(ExplainJobResponse { explanation: Some(explanation.into()) })
}

async fn cancel_job(app: &App, request: Request<CancelJobRequest>) -> Result<CancelJobResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let (kind, platform) = (parse_enum("type", message.r#type)?, parse("platform_id", &message.platform_id)?);
    let job =
        ops::cancel_once(app, &ctx, parse_uuid("job_id", &message.job_id)?, kind, &platform, &message.reason)
            .await?;
    Ok(CancelJobResponse { job: Some(job.into()) })
}

async fn ensure_repository(
    app: &App,
    request: Request<EnsureRepositoryRequest>,
) -> Result<EnsureRepositoryResponse> {
    let message = request.into_inner();
    let platform = parse("platform_id", &message.platform_id)?;
    let repository =
        repository::ensure(app, &platform, &message.platform_name, &message.platform_slug).await?;
    Ok(EnsureRepositoryResponse { repo_name: repository.name, commit_sha: repository.commit })
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
