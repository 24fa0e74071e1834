//! Platforms over gRPC.

use domain::{
    Error, Patch, PlatformId, Result,
    platform::{PlatformEvent, PlatformStatus},
};
use rpc::{
    enum_number, parse, parse_enum, read_ctx,
    registry::{
        CheckQuotaRequest, CheckQuotaResponse, CheckSlugRequest, CheckSlugResponse, CreatePlatformRequest,
        CreatePlatformResponse, GetPlatformRequest, GetPlatformResponse, Platform as PlatformMessage,
        SetRepositoryRequest, SetRepositoryResponse, TransitionPlatformRequest, TransitionPlatformResponse,
    },
    write_ctx,
};
use tonic::Request;

use super::{model::NewPlatform, ops, store, view::Platform};
use crate::App;

impl From<Platform> for PlatformMessage {
    fn from(platform: Platform) -> Self {
        Self {
            id: platform.id.to_string(),
            name: platform.name.to_string(),
            slug: platform.slug.to_string(),
            status: enum_number(platform.status),
            tier: enum_number(platform.tier),
            repo_name: platform.repo_name,
            owner_user_id: platform.owner_user_id,
        }
    }
}

pub(crate) async fn check_slug(app: &App, request: Request<CheckSlugRequest>) -> Result<CheckSlugResponse> {
    let slug = parse("slug", &request.get_ref().slug)?;
    let taken = app.db.service_read(async |c| store::slug_taken(c, &slug).await).await?;
    Ok(CheckSlugResponse { taken })
}

pub(crate) async fn check_quota(
    app: &App,
    request: Request<CheckQuotaRequest>,
) -> Result<CheckQuotaResponse> {
    let CheckQuotaRequest { owner_user_id, tier } = request.into_inner();
    let limit = app.settings.quotas.for_tier(parse_enum("tier", tier)?).platforms;
    let owned = app.db.service_read(async |c| store::owned(c, &owner_user_id).await).await?;
    Ok(CheckQuotaResponse { limit, platform_ids: owned.iter().map(ToString::to_string).collect() })
}

pub(crate) async fn create_platform(
    app: &App,
    request: Request<CreatePlatformRequest>,
) -> Result<CreatePlatformResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let id: PlatformId = parse("platform_id", &message.platform_id)?;
    let new = NewPlatform {
        id: None,
        name: parse("name", &message.name)?,
        slug: parse("slug", &message.slug)?,
        tier: parse_enum("tier", message.tier)?,
        status: PlatformStatus::Pending,
        cf_account_id: None,
        repo_name: None,
        owner_user_id: Some(message.owner_user_id).filter(|id| !id.is_empty()),
        limited: message.limited,
    };
    let done = ops::create_once(app, &ctx, &id, new).await?;
    Ok(CreatePlatformResponse { platform: Some(done.value.into()) })
}

/// Returns a platform, also a deleted one.
pub(crate) async fn get_platform(
    app: &App,
    request: Request<GetPlatformRequest>,
) -> Result<GetPlatformResponse> {
    let ctx = read_ctx(&request)?;
    let scope = ctx.platform(&parse("platform_id", &request.get_ref().platform_id)?)?;
    let platform = app.db.read(&ctx, async |c| store::get(c, &scope, true).await).await?;
    Ok(GetPlatformResponse { platform: Some(Platform::from(&platform).into()) })
}

pub(crate) async fn transition_platform(
    app: &App,
    request: Request<TransitionPlatformRequest>,
) -> Result<TransitionPlatformResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let event = parse_enum("event", message.event)?;
    if event == PlatformEvent::PeriodEnd {
        return Err(Error::invalid(
            "event",
            "must not be period_end: the registry triggers that event itself",
        ));
    }
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let done = ops::transition_once(app, &ctx, &scope, event, message.reason.as_deref()).await?;
    Ok(TransitionPlatformResponse { platform: Some(done.value.into()) })
}

pub(crate) async fn set_repository(
    app: &App,
    request: Request<SetRepositoryRequest>,
) -> Result<SetRepositoryResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    let repo_name = message.repo_name.map_or(Patch::Clear, Patch::Set);
    let done = ops::update(app, &ctx, &scope, ops::Change { repo_name, ..ops::Change::default() }).await?;
    Ok(SetRepositoryResponse { platform: Some(done.value.into()) })
}
