//! Jobs over HTTP. Operators only.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web::Data};
use domain::{
    EntityId, PlatformId, Slug, StackId, Version,
    access::Access,
    explain::Explanation,
    job::{JobStatus, JobType},
    resource::Environment,
};
use identity::WriteCtx;
use saga::{Cancel, Filter, Pause, Resume, Retry, api};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Command, Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, WriteResponse};

use super::{
    explain,
    model::{Job, Queued},
    ops::{self, NewJob},
};
use crate::{
    App,
    steps::{feature, platform, stack},
};

/// Request to provision the infrastructure of a platform.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProvisionPlatform {
    platform_id: PlatformId,
    plan_tier: domain::platform::Tier,
    #[schema(min_length = 1, max_length = 254)]
    billing_email: String,
    /// Entity that owns the resources. Defaults to the platform itself.
    #[schema(nullable = false)]
    default_entity_id: Option<EntityId>,
    #[serde(default = "prod")]
    #[schema(default = "prod")]
    environment: Environment,
}

const fn prod() -> Environment {
    Environment::Prod
}

/// Request to remove the infrastructure of a platform.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeprovisionPlatform {
    platform_id: PlatformId,
}

/// Request to activate a feature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ActivateFeature {
    platform_id: PlatformId,
    entity_id: EntityId,
    feature_id: Slug,
    feature_version: Version,
    environment: Environment,
}

/// Request to deactivate a feature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeactivateFeature {
    platform_id: PlatformId,
    entity_id: EntityId,
    feature_id: Slug,
    /// Optional: the running version is deactivated in any case.
    #[schema(nullable = false)]
    feature_version: Option<Version>,
    environment: Environment,
    /// If true, the data is deleted as well.
    #[serde(default)]
    #[schema(default = false)]
    delete_data: bool,
}

/// Request to activate a stack.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ActivateStack {
    platform_id: PlatformId,
    stack_id: StackId,
}

/// Request to remove a stack.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeactivateStack {
    platform_id: PlatformId,
    stack_id: StackId,
    /// If true, the data is deleted as well.
    #[serde(default)]
    #[schema(default = false)]
    delete_data: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    /// Only jobs of this platform.
    platform_id: Option<PlatformId>,
    /// Only jobs with this status.
    status: Option<JobStatus>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Provision a platform's infrastructure.
#[utoipa::path(
    operation_id = "queuePlatformProvisioning",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = ProvisionPlatform),
    responses((status = 202, body = Queued)),
)]
#[post("/platform")]
pub(crate) async fn provision_platform(app: Data<App>, command: Command<ProvisionPlatform>) -> HttpResult {
    let body = command.body;
    let input = platform::Input {
        environment: body.environment,
        entity_id: body.default_entity_id,
        plan_tier: Some(body.plan_tier),
        billing_email: Some(body.billing_email),
    };
    queue(&app, &command.ctx, JobType::ProvisionPlatform, &body.platform_id, &input).await
}

/// Remove a platform's infrastructure.
#[utoipa::path(
    operation_id = "queuePlatformDeprovisioning",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = DeprovisionPlatform),
    responses((status = 202, body = Queued)),
)]
#[post("/platform/deprovision")]
pub(crate) async fn deprovision_platform(
    app: Data<App>,
    command: Command<DeprovisionPlatform>,
) -> HttpResult {
    let (kind, input) = (JobType::DeprovisionPlatform, serde_json::json!({}));
    queue(&app, &command.ctx, kind, &command.body.platform_id, &input).await
}

/// Activate a feature for an entity.
#[utoipa::path(
    operation_id = "queueFeatureActivation",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = ActivateFeature),
    responses((status = 202, body = Queued)),
)]
#[post("/feature/activate")]
pub(crate) async fn activate_feature(app: Data<App>, command: Command<ActivateFeature>) -> HttpResult {
    let ActivateFeature { platform_id, entity_id, feature_id, feature_version, environment } = command.body;
    let input = feature::Activate { entity_id, feature_id, feature_version, environment };
    queue(&app, &command.ctx, JobType::ActivateFeature, &platform_id, &input).await
}

/// Deactivate a feature for an entity.
#[utoipa::path(
    operation_id = "queueFeatureDeactivation",
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = DeactivateFeature),
    responses((status = 202, body = Queued)),
)]
#[post("/feature/deactivate")]
pub(crate) async fn deactivate_feature(app: Data<App>, command: Command<DeactivateFeature>) -> HttpResult {
    let body = command.body;
    let input = feature::Deactivate {
        entity_id: body.entity_id,
        feature_id: body.feature_id,
        feature_version: body.feature_version,
        environment: body.environment,
        delete_data: body.delete_data,
    };
    queue(&app, &command.ctx, JobType::DeactivateFeature, &body.platform_id, &input).await
}

/// Activate a stack again in its current version.
#[utoipa::path(
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = ActivateStack),
    responses((status = 202, body = Queued)),
)]
#[post("/stack/activate")]
pub(crate) async fn activate_stack(app: Data<App>, command: Command<ActivateStack>) -> HttpResult {
    let ActivateStack { platform_id, stack_id } = command.body;
    let input = stack::Activate { stack_id };
    queue(&app, &command.ctx, JobType::ActivateStack, &platform_id, &input).await
}

/// Remove a stack.
#[utoipa::path(
    extensions(("x-access" = json!(Access::Everything))),
    request_body(content = DeactivateStack),
    responses((status = 202, body = Queued)),
)]
#[post("/stack/deactivate")]
pub(crate) async fn deactivate_stack(app: Data<App>, command: Command<DeactivateStack>) -> HttpResult {
    let DeactivateStack { platform_id, stack_id, delete_data } = command.body;
    let input = stack::Deactivate { stack_id, delete_data };
    queue(&app, &command.ctx, JobType::DeactivateStack, &platform_id, &input).await
}

async fn queue(
    app: &App,
    ctx: &WriteCtx,
    kind: JobType,
    platform: &PlatformId,
    input: &impl Serialize,
) -> HttpResult {
    let input = serde_json::to_value(input).map_err(domain::Error::internal)?;
    let new = NewJob { id: domain::id::uuid_v7(), kind, platform, input, fairness_key: platform.as_str() };
    let outcome = ops::enqueue(app, ctx, new).await?;
    outcome.map(|job| Queued::of(&job)).without_etag(StatusCode::ACCEPTED)
}

/// List jobs, newest first.
#[utoipa::path(
    operation_id = "listJobs",
    extensions(("x-access" = json!(Access::Everything))),
    params(JobsQuery),
    responses((status = 200, body = Paged<Job>)),
)]
#[get("/jobs")]
pub(crate) async fn list(app: Data<App>, ctx: Context, query: Query<JobsQuery>) -> HttpResult {
    let query = query.0;
    let list = format!("jobs:{:?}:{:?}", query.platform_id, query.status);
    let page = ListQuery { limit: query.limit, cursor: query.cursor };
    let statuses: Vec<_> = query.status.iter().map(|status| status.saga()).collect();
    let subject = query.platform_id.as_ref().map(PlatformId::as_str);
    let filter = Filter { statuses: &statuses, subject, ..Filter::default() };
    Ok(HttpResponse::Ok().json(api::list::<Job>(&app.db, &ctx, &filter, &page, &list).await?))
}

/// Get a job with all its steps.
#[utoipa::path(
    operation_id = "getJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Job)),
)]
#[get("/jobs/{jobId}")]
pub(crate) async fn get(app: Data<App>, ctx: Context, path: Path<Uuid>, request: HttpRequest) -> HttpResult {
    web::read(&request, &ops::get(&app, &ctx, path.0).await?)
}

/// Retry a failed job from the step that failed.
#[utoipa::path(
    operation_id = "retryJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Job)),
)]
#[post("/jobs/{jobId}/retry")]
pub(crate) async fn retry(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    ops::apply(&app, &command.ctx, path.0, Retry).await?.ok()
}

/// Undo a job.
#[utoipa::path(
    operation_id = "cancelJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Job)),
)]
#[post("/jobs/{jobId}/cancel")]
pub(crate) async fn cancel(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    let reason = format!("cancelled by {}", command.ctx.caller.id);
    ops::apply(&app, &command.ctx, path.0, Cancel(&reason)).await?.ok()
}

/// Pause a job before its next step. A running step is completed first.
#[utoipa::path(
    operation_id = "pauseJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Job)),
)]
#[post("/jobs/{jobId}/pause")]
pub(crate) async fn pause(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    ops::apply(&app, &command.ctx, path.0, Pause).await?.ok()
}

/// Resume a paused job.
#[utoipa::path(
    operation_id = "resumeJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Job)),
)]
#[post("/jobs/{jobId}/resume")]
pub(crate) async fn resume(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    ops::apply(&app, &command.ctx, path.0, Resume).await?.ok()
}

/// Discard a failed job. Its steps are not retried any more, and effects that were not undone remain.
#[utoipa::path(
    operation_id = "discardJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Job)),
)]
#[post("/jobs/{jobId}/discard")]
pub(crate) async fn discard(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    let reason = format!("discarded by {}", command.ctx.caller.id);
    ops::discard(&app, &command.ctx, path.0, &reason).await?.ok()
}

/// Follow a job. Returns server-sent events, each with the complete job, until the job ends.
#[utoipa::path(
    operation_id = "followJob",
    extensions(("x-access" = json!(Access::Everything))),
    params(("Last-Event-ID" = Option<String>, Header, description = "Id of the last received event")),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 204, description = "The job has ended, and the client has received its last event"),
    ),
)]
#[get("/jobs/{jobId}/events")]
pub(crate) async fn follow(
    app: Data<App>,
    ctx: Context,
    path: Path<Uuid>,
    request: HttpRequest,
) -> HttpResult {
    let (changes, read) = api::follow::<Job>(&app.db, &app.followers, &ctx, path.0)?;
    web::events::follow(&request, changes, read).await
}

/// Explain in one sentence why a job is not completed.
#[utoipa::path(
    operation_id = "explainJob",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Explanation)),
)]
#[get("/jobs/{jobId}/explain")]
pub(crate) async fn explained(app: Data<App>, ctx: Context, path: Path<Uuid>) -> HttpResult {
    Ok(HttpResponse::Ok().json(explain::explain(&app, &ctx, path.0).await?))
}
