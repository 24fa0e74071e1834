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
    ops::{self, ActivationAccepted, DeactivationAccepted},
    store,
    view::ActivationView,
};
use crate::{App, entities, platforms};

/// Request to activate a feature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ActivateFeature {
    /// Part of resource names and host names. Ids of up to about 20 characters always fit.
    feature_id: Slug,
    /// A semantic version.
    #[schema(value_type = String, min_length = 1, pattern = r"^\d+\.\d+\.\d+(-[a-zA-Z0-9.]+)?$")]
    version: Version,
    environment: Environment,
}

/// Request to deactivate a feature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeactivateFeature {
    feature_id: Slug,
    environment: Environment,
    /// If true, the data of the feature is deleted too.
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
            tokio::try_join!(check_owner(c, &scope, &entity), page).map(|((), page)| page)
        })
        .await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<ActivationView>())))
}

async fn check_owner(c: &Conn, scope: &PlatformScope, entity: &EntityId) -> Result<()> {
    let owners =
        tokio::try_join!(platforms::store::check_exists(c, scope), entities::store::get(c, scope, entity));
    owners.map(drop)
}

/// Activate a feature for an entity.
///
/// The request is accepted at once and completed in the background. Repeating it with the same version returns the same
/// activation; a different version is an upgrade.
#[utoipa::path(
    operation_id = "activateFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = ActivateFeature),
    responses(
        (status = 202, body = ActivationAccepted),
        (status = 502, description = "Never sent: the request is stored until provisioning is available", body = ActivationAccepted),
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
/// Rejected with 409 `INVALID_TRANSITION` if the feature is not active. Its data is kept unless `deleteData` is true.
#[utoipa::path(
    operation_id = "deactivateFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = DeactivateFeature),
    responses((status = 200, body = DeactivationAccepted)),
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

/// Get a feature activation, by the feature's id in an environment or by the id of the activation.
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

/// Explain why a feature is not active: one sentence and the chain of causes.
#[utoipa::path(
    operation_id = "explainFeature",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(EnvironmentQuery),
    responses((status = 200, body = Explanation)),
)]
#[get("/platforms/{platformId}/entities/{entityId}/features/{featureId}/explain")]
pub(crate) async fn get_explanation(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, EntityId, Slug)>,
    query: Query<EnvironmentQuery>,
) -> HttpResult {
    let activation = read(&app, &ctx, path, query.0).await?;
    Ok(HttpResponse::Ok().json(explain::explain_feature(&app, &ctx, activation).await?))
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
            tokio::try_join!(check_owner(c, &scope, &entity), found).map(|((), found)| found)
        })
        .await
}
