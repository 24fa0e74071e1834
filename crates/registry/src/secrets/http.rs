//! Secrets over HTTP.

use actix_web::{HttpResponse, get, http::StatusCode, post, web::Data};
use domain::{Error, PlatformId, ResourceId, Role, SecretName, access::Access, resource::SecretStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Command, Context, HttpResult, Path, WriteResponse};

use super::{ops, store, view::Secret};
use crate::{App, platforms, resources};

/// Request to set the status of a secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkSecret {
    status: SecretStatus,
}

/// The secrets of a resource, without pagination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretList {
    /// Newest first.
    data: Vec<Secret>,
}

/// List secrets for a resource: their status, never a value.
#[utoipa::path(
    operation_id = "listSecrets",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = SecretList)),
)]
#[get("/platforms/{platformId}/resources/{resourceId}/secrets")]
pub(crate) async fn list(app: Data<App>, ctx: Context, path: Path<(PlatformId, ResourceId)>) -> HttpResult {
    let (scope, resource) = path.0;
    let data = app
        .db
        .read(&ctx, async |c| {
            let found = tokio::try_join!(
                platforms::store::check_exists(c, &scope),
                resources::store::get(c, &scope, resource),
                store::by_resource(c, &scope, resource)
            );
            found.map(|(_, _, rows)| rows.iter().map(Secret::from).collect())
        })
        .await?;
    Ok(HttpResponse::Ok().json(SecretList { data }))
}

/// Mark or update a secret status.
///
/// Returns 201 for a new secret, else 200. `set` and `rotated` set `lastSetAt`.
#[utoipa::path(
    operation_id = "markSecret",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = MarkSecret),
    responses((status = 200, body = Secret), (status = 201, body = Secret)),
)]
#[post("/platforms/{platformId}/resources/{resourceId}/secrets/{secretName}")]
pub(crate) async fn mark(
    app: Data<App>,
    path: Path<(PlatformId, ResourceId, String)>,
    command: Command<MarkSecret>,
) -> HttpResult {
    let (scope, resource, name) = path.0;
    let name = SecretName::parse(&name).map_err(|reason| Error::invalid("secretName", reason))?;
    let done = ops::mark(&app, &command.ctx, &scope, resource, &name, command.body.status).await?;
    let status = if done.value.new { StatusCode::CREATED } else { StatusCode::OK };
    done.map(|marked| marked.secret).with_etag(status)
}
