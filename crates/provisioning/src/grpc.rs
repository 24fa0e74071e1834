//! Provisioning over gRPC.

use domain::{Error, PlatformId, Result, job::JobType};
use rpc::{
    parse,
    provisioning::{
        self as wire, CancelJobRequest, CancelJobResponse, DeleteRepositoryRequest, DeleteRepositoryResponse,
        EnqueueJobRequest, EnqueueJobResponse, EnsureRepositoryRequest, EnsureRepositoryResponse,
        ExplainJobRequest, ExplainJobResponse, GetJobRequest, GetJobResponse,
        provisioning_server::Provisioning,
    },
};
use rpc::{read_ctx, status::to_status, write_ctx};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    App,
    jobs::{
        explain,
        model::Job,
        ops::{self, NewJob},
    },
    repository,
};

/// The gRPC service.
pub(crate) const SERVICE: &str = "nno.provisioning.v1.Provisioning";

/// Which processes may call which method.
pub(crate) const CALLERS: &[(&str, &[&str])] = &[
    ("EnqueueJob", &["registry", "onboarding"]),
    ("GetJob", &["onboarding"]),
    ("ExplainJob", &["registry", "onboarding"]),
    ("CancelJob", &["onboarding"]),
    ("EnsureRepository", &["onboarding"]),
    ("DeleteRepository", &["onboarding"]),
];

impl App {
    async fn answer_enqueue(&self, request: Request<EnqueueJobRequest>) -> Result<EnqueueJobResponse> {
        let ctx = write_ctx(&request)?;
        let asked = request.into_inner();
        let input =
            serde_json::from_str(&asked.input).map_err(|why| Error::invalid("input", why.to_string()))?;
        let kind: JobType = parse("type", &asked.r#type)?;
        let platform: PlatformId = parse("platform_id", &asked.platform_id)?;
        let flow = if asked.flow.is_empty() { platform.as_str() } else { &asked.flow };
        let new = NewJob { id: id(&asked.job_id)?, kind, platform: &platform, input, flow };
        let done = ops::enqueue(self, &ctx, new).await?;
        Ok(EnqueueJobResponse { job: Some(done.value.into()) })
    }

    async fn answer_get(&self, request: Request<GetJobRequest>) -> Result<GetJobResponse> {
        let ctx = read_ctx(&request)?;
        let job = ops::get(self, &ctx, id(&request.get_ref().job_id)?).await?;
        Ok(GetJobResponse { job: Some(job.into()) })
    }

    async fn answer_explain(&self, request: Request<ExplainJobRequest>) -> Result<ExplainJobResponse> {
        let ctx = read_ctx(&request)?;
        let explanation = explain::of(self, &ctx, id(&request.get_ref().job_id)?).await?;
        Ok(ExplainJobResponse { explanation: Some(explanation.into()) })
    }

    async fn answer_cancel(&self, request: Request<CancelJobRequest>) -> Result<CancelJobResponse> {
        let ctx = write_ctx(&request)?;
        let asked = request.into_inner();
        let (kind, platform) = (parse("type", &asked.r#type)?, parse("platform_id", &asked.platform_id)?);
        let job = ops::cancel_once(self, &ctx, id(&asked.job_id)?, kind, &platform, &asked.reason).await?;
        Ok(CancelJobResponse { job: Some(job.into()) })
    }

    async fn answer_ensure_repository(
        &self,
        request: Request<EnsureRepositoryRequest>,
    ) -> Result<EnsureRepositoryResponse> {
        let asked = request.into_inner();
        let platform = parse("platform_id", &asked.platform_id)?;
        let made = repository::ensure(self, &platform, &asked.platform_name, &asked.platform_slug).await?;
        Ok(EnsureRepositoryResponse { repo_name: made.name, commit_sha: made.commit })
    }

    async fn answer_delete_repository(
        &self,
        request: Request<DeleteRepositoryRequest>,
    ) -> Result<DeleteRepositoryResponse> {
        repository::delete(self, &parse("platform_id", &request.get_ref().platform_id)?).await?;
        Ok(DeleteRepositoryResponse {})
    }
}

fn id(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|why| Error::invalid("job_id", "must be a UUID").context(why))
}

fn told<T>(result: Result<T>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| to_status(&error))
}

impl From<Job> for wire::Job {
    fn from(job: Job) -> Self {
        let current = job.current_step();
        Self {
            current_step: current.map(|step| step.name.clone()),
            error: job.error.clone().or_else(|| current.and_then(|step| step.error.clone())),
            waiting_for: current.and_then(|step| step.waiting_for.clone()),
            id: job.id.to_string(),
            r#type: job.r#type.to_string(),
            platform_id: job.platform_id.to_string(),
            status: job.status.to_string(),
        }
    }
}

#[tonic::async_trait]
impl Provisioning for App {
    async fn enqueue_job(
        &self,
        request: Request<EnqueueJobRequest>,
    ) -> Result<Response<EnqueueJobResponse>, Status> {
        told(self.answer_enqueue(request).await)
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<GetJobResponse>, Status> {
        told(self.answer_get(request).await)
    }

    async fn explain_job(
        &self,
        request: Request<ExplainJobRequest>,
    ) -> Result<Response<ExplainJobResponse>, Status> {
        told(self.answer_explain(request).await)
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<CancelJobResponse>, Status> {
        told(self.answer_cancel(request).await)
    }

    async fn ensure_repository(
        &self,
        request: Request<EnsureRepositoryRequest>,
    ) -> Result<Response<EnsureRepositoryResponse>, Status> {
        told(self.answer_ensure_repository(request).await)
    }

    async fn delete_repository(
        &self,
        request: Request<DeleteRepositoryRequest>,
    ) -> Result<Response<DeleteRepositoryResponse>, Status> {
        told(self.answer_delete_repository(request).await)
    }
}
