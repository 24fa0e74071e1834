//! Features over HTTP.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web::Data};
use database::Conn;
use domain::{
    ActivationId, EntityId, PlatformId, Result, Role, Slug, Version, access::Access,
    deployment::ActivationKey, explain::Explanation, resource::Environment,
};
use identity::{Ctx, PlatformScope};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use web::{Command, Context, HttpResult, ListQuery, Paged, Path, Query, WriteResponse};

use super::{
    explain,
    model::ActivationRow,
    ops::{self, Activated, Deactivated},
    store,
    view::ActivationView,
};
use crate::{App, entities, platforms};

/// A feature to activate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ActivateFeature {
    /// It stands in resource names and host names: at most some 20 characters are sure to fit.
    feature_id: Slug,
    /// A semantic version.
    #[schema(value_type = String, min_length = 1, pattern = r"^\d+\.\d+\.\d+(-[a-zA-Z0-9.]+)?$")]
    version: Version,
    environment: Environment,
}

/// A feature to deactivate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeactivateFeature {
    feature_id: Slug,
    environment: Environment,
    /// Whether its data is deleted too.
    #[serde(default)]
    #[schema(default = false)]
    delete_data: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EnvironmentQuery {
    /// Environment; `prod` if absent.
    pub(crate) env: Option<Environment>,
}

/// List feature activations for an entity, newest first.
#[utoipa::path(
    operation_id = "listFeatures",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery),
    responses((status = 200, body = Paged<ActivationView>)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/features")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId)>,
    query: Query<ListQuery>,
) -> HttpResult {
    let (scope, entity) = path.0;
    let (limit, after) = query.0.parse(&store::counter(scope.id(), &entity))?;
    let page = app
        .db
        .read(&ctx, async |c| {
            let page = store::page(c, &scope, &entity, limit, &after);
            tokio::try_join!(owner_is_live(c, &scope, &entity), page).map(|((), page)| page)
        })
        .await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<ActivationView>())))
}

async fn owner_is_live(c: &Conn, scope: &PlatformScope, entity: &EntityId) -> Result<()> {
    let owners = tokio::try_join!(platforms::store::live(c, scope), entities::store::get(c, scope, entity));
    owners.map(drop)
}

/// Activate a feature for an entity.
///
/// It is recorded and answered at once, and done from now on. Asked for again in the same version it is the same
/// activation; in another version it is upgraded.
#[utoipa::path(
    operation_id = "activateFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = ActivateFeature),
    responses(
        (status = 202, body = Activated),
        (status = 502, description = "Never sent: what is asked for is kept until provisioning is there", body = Activated),
    ),
)]
#[post("/platforms/{platformId}/entities/{entityId}/features/activate")]
pub(crate) async fn activate(
    app: Data<App>,
    path: Path<(PlatformId, EntityId)>,
    command: Command<ActivateFeature>,
) -> HttpResult {
    let ((scope, entity), body) = (path.0, command.body);
    let key = ActivationKey {
        platform: scope.id().clone(),
        entity,
        feature: body.feature_id,
        environment: body.environment,
    };
    ops::activate(&app, &command.ctx, &scope, &key, &body.version).await?.without_etag(StatusCode::ACCEPTED)
}

/// Deactivate a feature for an entity.
///
/// One that is not active is 409 `INVALID_TRANSITION`. Its data is kept unless `deleteData` says otherwise.
#[utoipa::path(
    operation_id = "deactivateFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = DeactivateFeature),
    responses((status = 200, body = Deactivated)),
)]
#[post("/platforms/{platformId}/entities/{entityId}/features/deactivate")]
pub(crate) async fn deactivate(
    app: Data<App>,
    path: Path<(PlatformId, EntityId)>,
    command: Command<DeactivateFeature>,
) -> HttpResult {
    let ((scope, entity), body) = (path.0, command.body);
    let key = ActivationKey {
        platform: scope.id().clone(),
        entity,
        feature: body.feature_id,
        environment: body.environment,
    };
    ops::deactivate(&app, &command.ctx, &scope, &key, body.delete_data).await?.without_etag(StatusCode::OK)
}

/// Get a feature activation by ID: the feature's in an environment, or the activation's own.
#[utoipa::path(
    operation_id = "getFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(EnvironmentQuery),
    responses((status = 200, body = ActivationView)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/features/{featureId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId, Slug)>,
    query: Query<EnvironmentQuery>,
    request: HttpRequest,
) -> HttpResult {
    web::read(&request, &ActivationView::from(&read(&app, &ctx, path, query.0).await?))
}

/// Why a feature is not active, in one sentence, and the chain that leads there.
#[utoipa::path(
    operation_id = "explainFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(EnvironmentQuery),
    responses((status = 200, body = Explanation)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/features/{featureId}/explain")]
pub(crate) async fn explained(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId, Slug)>,
    query: Query<EnvironmentQuery>,
) -> HttpResult {
    let activation = read(&app, &ctx, path, query.0).await?;
    Ok(HttpResponse::Ok().json(explain::of(&app, &ctx, activation).await?))
}

async fn read(
    app: &App,
    ctx: &Ctx,
    path: Path<(PlatformId, EntityId, Slug)>,
    query: EnvironmentQuery,
) -> Result<ActivationRow> {
    let (scope, entity, feature) = path.0;
    let environment = query.env.unwrap_or(Environment::Prod);
    let id = ActivationId::parse(feature.as_str()).ok();
    app.db
        .read(ctx, async |c| {
            let found = async {
                match id {
                    Some(id) => store::by_id(c, &scope, &entity, id).await,
                    None => store::get(c, &scope, &entity, &feature, environment).await,
                }
            };
            tokio::try_join!(owner_is_live(c, &scope, &entity), found).map(|((), found)| found)
        })
        .await
}
