//! The HTTP handlers of onboardings.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, patch, post, web::Data};
use domain::{
    Name, Result, Slug, access::Access, explain::Explanation, onboarding::SessionStatus, platform::Tier,
};
use saga::{Discard, Pause, Resume, api};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Command, Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, Unchecked, WriteResponse};

use super::{
    explain,
    model::{OnboardingView, StartedOnboarding},
    ops::{self, NewOnboarding},
    store,
};
use crate::App;

/// The body of a request to start an onboarding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartOnboarding {
    platform_name: Name,
    slug: Slug,
    tier: Tier,
    /// Id or name of a stack template, from which the default tenant gets a default stack.
    #[schema(nullable = false, min_length = 1, max_length = 64)]
    stack_template_id: Option<String>,
}

/// The changes of an onboarding.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateOnboarding {
    /// JSON text. The onboarding manages its steps: values that differ from the current ones are rejected.
    #[schema(nullable = false)]
    steps: Option<String>,
    #[schema(nullable = false)]
    current_step: Option<String>,
    /// JSON text, stored unchanged.
    #[schema(nullable = false)]
    metadata: Option<String>,
    /// `cancelled` undoes the onboarding. If its undo is stuck, the attempts start again.
    #[schema(nullable = false)]
    status: Option<SessionStatus>,
    #[schema(nullable = false)]
    provision_job_id: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OnboardingsQuery {
    status: Option<SessionStatus>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Start an onboarding.
#[utoipa::path(
    operation_id = "createOnboarding",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = StartOnboarding),
    responses((status = 201, body = StartedOnboarding)),
)]
#[post("")]
pub(crate) async fn create(app: Data<App>, command: Unchecked<StartOnboarding>) -> HttpResult {
    start(&app, command).await
}

/// Start an onboarding.
#[utoipa::path(
    operation_id = "createOnboarding",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = StartOnboarding),
    responses((status = 201, body = StartedOnboarding)),
)]
#[post("/")]
pub(crate) async fn create_at_root(app: Data<App>, command: Unchecked<StartOnboarding>) -> HttpResult {
    start(&app, command).await
}

async fn start(app: &App, command: Unchecked<StartOnboarding>) -> HttpResult {
    let command = command.check(async |ctx, _| ops::may_start(&ctx.caller)).await?;
    let body = command.body;
    let new = NewOnboarding {
        platform_name: body.platform_name,
        slug: body.slug,
        tier: body.tier,
        stack_template_id: body.stack_template_id,
    };
    ops::start(app, &command.ctx, new).await?.without_etag(StatusCode::CREATED)
}

/// List onboardings (operators only), newest first.
#[utoipa::path(
    operation_id = "listOnboardings",
    extensions(("x-access" = json!(Access::Everything))),
    params(OnboardingsQuery),
    responses((status = 200, body = Paged<OnboardingView>)),
)]
#[get("/admin/sessions")]
pub(crate) async fn list(app: Data<App>, ctx: Context, query: Query<OnboardingsQuery>) -> HttpResult {
    let list = format!("sessions:{:?}", query.0.status);
    let filter = store::filter(query.0.status);
    let page = ListQuery { limit: query.0.limit, cursor: query.0.cursor };
    Ok(HttpResponse::Ok().json(api::list::<OnboardingView>(&app.db, &ctx, &filter, &page, &list).await?))
}

/// Get an onboarding with its steps: attempts, errors and causes of waiting.
#[utoipa::path(
    operation_id = "getOnboarding",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = OnboardingView)),
    path = "/{onboardingId}",
)]
#[get("/{onboardingId:[0-9a-fA-F-]{36}}")]
pub(crate) async fn get(app: Data<App>, ctx: Context, path: Path<Uuid>, request: HttpRequest) -> HttpResult {
    web::read(&request, &ops::get(&app, &ctx, path.0).await?)
}

/// Update an onboarding.
#[utoipa::path(
    operation_id = "updateOnboarding",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = UpdateOnboarding),
    responses((status = 200, body = OnboardingView)),
    path = "/{onboardingId}",
)]
#[patch("/{onboardingId:[0-9a-fA-F-]{36}}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<Uuid>,
    command: Unchecked<UpdateOnboarding>,
) -> HttpResult {
    let command = command.check(async |ctx, _| ops::get(&app, ctx, path.0).await.map(drop)).await?;
    let change = match change(command.body) {
        Ok(change) => change,
        Err(error) => {
            ops::get(&app, &command.ctx, path.0).await?;
            return Err(error.into());
        }
    };
    ops::update(&app, &command.ctx, path.0, change).await?.ok()
}

/// Pause an onboarding before its next step. Steps in progress finish first.
#[utoipa::path(
    operation_id = "pauseOnboarding",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = OnboardingView)),
    path = "/{onboardingId}/pause",
)]
#[post("/{onboardingId:[0-9a-fA-F-]{36}}/pause")]
pub(crate) async fn pause(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    ops::apply_operation(&app, &command.ctx, path.0, Pause).await?.ok()
}

/// Resume a paused onboarding.
#[utoipa::path(
    operation_id = "resumeOnboarding",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = OnboardingView)),
    path = "/{onboardingId}/resume",
)]
#[post("/{onboardingId:[0-9a-fA-F-]{36}}/resume")]
pub(crate) async fn resume(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    ops::apply_operation(&app, &command.ctx, path.0, Resume).await?.ok()
}

/// Discard an onboarding whose undo has failed permanently. Effects that were not undone stay.
#[utoipa::path(
    operation_id = "discardOnboarding",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = OnboardingView)),
    path = "/{onboardingId}/discard",
)]
#[post("/{onboardingId:[0-9a-fA-F-]{36}}/discard")]
pub(crate) async fn discard(app: Data<App>, path: Path<Uuid>, command: Command<NoBody>) -> HttpResult {
    let why = format!("discarded by {}", command.ctx.caller.id);
    ops::apply_operation(&app, &command.ctx, path.0, Discard(&why)).await?.ok()
}

/// Follow an onboarding by server-sent events. Each event contains the whole onboarding; the stream ends with it.
#[utoipa::path(
    operation_id = "followOnboarding",
    extensions(("x-access" = json!(Access::Caller))),
    path = "/{onboardingId}/events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event received")),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 204, description = "The onboarding has ended, and the client has received its last event"),
    ),
)]
#[get("/{onboardingId:[0-9a-fA-F-]{36}}/events")]
pub(crate) async fn follow(
    app: Data<App>,
    ctx: Context,
    path: Path<Uuid>,
    request: HttpRequest,
) -> HttpResult {
    let (changes, read) = api::follow::<OnboardingView>(&app.db, &app.followers, &ctx, path.0)?;
    web::events::follow(&request, changes, read).await
}

/// Explain why an onboarding is not done: the root cause in one sentence, and the chain of dependencies.
#[utoipa::path(
    operation_id = "explainOnboarding",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = Explanation)),
    path = "/{onboardingId}/explain",
)]
#[get("/{onboardingId:[0-9a-fA-F-]{36}}/explain")]
pub(crate) async fn explained(app: Data<App>, ctx: Context, path: Path<Uuid>) -> HttpResult {
    Ok(HttpResponse::Ok().json(explain::explain(&app, &ctx, path.0).await?))
}

fn change(body: UpdateOnboarding) -> Result<ops::Change> {
    Ok(ops::Change {
        metadata: json_text("metadata", body.metadata)?,
        status: body.status,
        steps: json_text("steps", body.steps)?,
        current_step: body.current_step,
        provision_job_id: body.provision_job_id,
    })
}

fn json_text(field: &str, text: Option<String>) -> Result<Option<Value>> {
    text.map(|text| check::from_json_text(field, &text)).transpose()
}
