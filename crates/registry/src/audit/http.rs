//! The audit log over HTTP.

use actix_web::{HttpResponse, get, web::Data};
use domain::{PlatformId, Role, access::Access};
use identity::Ctx;
use serde::Deserialize;
use utoipa::IntoParams;
use web::{Context, HttpResult, ListQuery, Paged, Path, Query};

use super::{
    filter::{Filter, ObjectFilter, QueryTime},
    model::AuditEntry,
    store,
};
use crate::{App, platforms};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlatformAuditFilter {
    /// Action, such as `platform.suspended`.
    action: Option<String>,
    /// Changed object: its id, or its type (`platform`, `entity`, `stack`, `resource`, `secret`, `build`, `dns_record`,
    /// `custom_domain`, `feature`).
    #[param(value_type = Option<String>)]
    entity: Option<ObjectFilter>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditFilter {
    platform_id: Option<PlatformId>,
    actor_id: Option<String>,
    /// Action, such as `platform.suspended`.
    event_type: Option<String>,
    /// Only entries at or after this time: RFC 3339, or milliseconds since 1970.
    #[param(value_type = Option<String>)]
    from: Option<QueryTime>,
    /// Only entries before this time: RFC 3339, or milliseconds since 1970.
    #[param(value_type = Option<String>)]
    to: Option<QueryTime>,
}

/// List audit log entries for a platform, newest first.
#[utoipa::path(
    operation_id = "listPlatformAudit",
    extensions(("x-access" = json!(Access::Platform(Role::Viewer)))),
    params(ListQuery, PlatformAuditFilter),
    responses((status = 200, body = Paged<AuditEntry>)),
)]
#[get("/platforms/{platformId}/audit")]
pub(crate) async fn list_of_platform(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
    filter: Query<PlatformAuditFilter>,
) -> HttpResult {
    let scope = path.0;
    let PlatformAuditFilter { action, entity } = filter.0;
    let filter = Filter { platform: Some(scope.id().clone()), action, object: entity, ..Filter::default() };
    filter.check("action")?;
    app.db.read(&ctx, async |c| platforms::store::check_exists(c, &scope).await).await?;
    page(&app, &ctx, &filter, &query.0).await
}

/// List audit log entries across all platforms, newest first. Operators only.
#[utoipa::path(
    operation_id = "listAudit",
    extensions(("x-access" = json!(Access::Everything))),
    params(ListQuery, AuditFilter),
    responses((status = 200, body = Paged<AuditEntry>)),
)]
#[get("/audit")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    query: Query<ListQuery>,
    filter: Query<AuditFilter>,
) -> HttpResult {
    let AuditFilter { platform_id, actor_id, event_type, from, to } = filter.0;
    let filter = Filter {
        platform: platform_id,
        actor: actor_id,
        action: event_type,
        object: None,
        from: from.map(|time| time.0),
        to: to.map(|time| time.0),
    };
    filter.check("eventType")?;
    page(&app, &ctx, &filter, &query.0).await
}

async fn page(app: &App, ctx: &Ctx, filter: &Filter, query: &ListQuery) -> HttpResult {
    let (limit, after) = query.parse(&filter.list())?;
    let scope = &ctx.caller.scope;
    let found = app.db.read(ctx, async |c| store::page(c, scope, filter, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(found)))
}
