//! HTTP handlers of keys.

use actix_web::{HttpResponse, delete, get, http::StatusCode, post, web::Data};
use chrono::TimeDelta;
use domain::{EntityId, Grant, GrantScope, Name, PlatformId, Result, Role, access::Access};
use runtime::clock;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Context, HttpResult, ListQuery, NoBody, Paged, Path, Query, Success, Unchecked, WriteResponse};

use super::{
    model::NewKey,
    ops,
    store::{self, Filter},
    view::{CreatedKey, KeyDetail},
};
use crate::{
    App,
    grants::{self, AdminScope},
    response,
};

/// New key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// Display name.
    name: Name,
    role: Role,
    /// Platform of the scope. Absent for all platforms.
    #[schema(value_type = Option<String>, nullable = false)]
    platform_id: Option<PlatformId>,
    /// Entity of the scope, with its descendants. Requires `platformId`.
    #[schema(value_type = Option<String>, nullable = false)]
    entity_id: Option<EntityId>,
    /// Days until the key expires. Absent for a key that does not expire.
    #[schema(minimum = 1, maximum = 3650, nullable = false)]
    expires_in_days: Option<u16>,
}

impl CreateKey {
    fn into_new_key(self) -> Result<NewKey> {
        let grant = Grant::new(self.role, GrantScope::new(self.platform_id, self.entity_id)?)?;
        let expires_at = self.expires_in_days.map(|days| clock::now() + TimeDelta::days(days.into()));
        Ok(NewKey { name: self.name, grant, expires_at })
    }
}

/// Filter of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyFilter {
    /// Keys within one platform, including its entities.
    #[param(value_type = Option<String>)]
    platform_id: Option<PlatformId>,
    /// Includes revoked keys if true.
    include_revoked: Option<bool>,
}

/// List the keys that the caller administers, newest first.
#[utoipa::path(
    operation_id = "listKeys",
    extensions(("x-access" = json!(Access::Caller))),
    params(ListQuery, KeyFilter),
    responses((status = 200, body = Paged<KeyDetail>)),
)]
#[get("/keys")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    query: Query<ListQuery>,
    filter: Query<KeyFilter>,
) -> HttpResult {
    let KeyFilter { platform_id, include_revoked } = filter.0;
    let filter = Filter { platform: platform_id, revoked: include_revoked.unwrap_or_default() };
    let (limit, after) = query.0.parse(&filter.list())?;
    let own = AdminScope::new(ctx.caller.grants());
    let page = app.db.read(&ctx, async |c| store::page(c, &own, &filter, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<KeyDetail>())))
}

/// Create a key.
///
/// Only this response contains the key, because iam stores a digest of its secret. A repetition with the same
/// Idempotency-Key returns the created key with `key` null. If the response is lost, revoke the key and create a new one.
/// A key cannot exceed the caller's own grants.
#[utoipa::path(
    operation_id = "createKey",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = CreateKey),
    responses((status = 201, body = CreatedKey), (status = 404)),
)]
#[post("/keys")]
pub(crate) async fn create(app: Data<App>, command: Unchecked<CreateKey>) -> HttpResult {
    let command = command.check(async |ctx, body| grants::authorize_body(&app, ctx, &body).await).await?;
    let (done, key) = ops::create(&app, &command.ctx, command.body.into_new_key()?).await?;
    response::created(done, |row| CreatedKey { key: key.map(|key| key.reveal()), detail: row.into() })
}

/// Revoke a key. The change takes effect at once. Revoked keys stay in the list with `includeRevoked`.
#[utoipa::path(
    operation_id = "revokeKey",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = Success)),
)]
#[delete("/keys/{keyId}")]
pub(crate) async fn revoke(app: Data<App>, path: Path<Uuid>, command: Unchecked<NoBody>) -> HttpResult {
    let command = command.check(async |ctx, _| ops::check_access(&app, ctx, path.0).await).await?;
    ops::revoke(&app, &command.ctx, path.0).await?.map(|_| Success::YES).without_etag(StatusCode::OK)
}
