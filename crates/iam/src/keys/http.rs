//! Keys over HTTP.

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
    view::{KeyDetail, MadeKey},
};
use crate::{
    App, answer,
    grants::{self, Administered},
};

/// A new key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateKey {
    /// What people call it.
    name: Name,
    role: Role,
    /// Absent for a key that reaches everything.
    #[schema(value_type = Option<String>, nullable = false)]
    platform_id: Option<PlatformId>,
    /// Needs `platformId`. The key reaches the entity and what is under it.
    #[schema(value_type = Option<String>, nullable = false)]
    entity_id: Option<EntityId>,
    /// Absent for a key that does not expire.
    #[schema(minimum = 1, maximum = 3650, nullable = false)]
    expires_in_days: Option<u16>,
}

impl CreateKey {
    fn read(self) -> Result<NewKey> {
        let grant = Grant::new(self.role, GrantScope::new(self.platform_id, self.entity_id)?)?;
        let expires_at = self.expires_in_days.map(|days| clock::now() + TimeDelta::days(days.into()));
        Ok(NewKey { name: self.name, grant, expires_at })
    }
}

/// What the list is narrowed to.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyFilter {
    /// Those of one platform and of its entities.
    #[param(value_type = Option<String>)]
    platform_id: Option<PlatformId>,
    /// Whether those that are revoked are told too.
    include_revoked: Option<bool>,
}

/// List the keys within what the caller administers, newest first.
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
    let own = Administered::by(ctx.caller.grants());
    let page = app.db.read(&ctx, async |c| store::page(c, &own, &filter, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(page.convert::<KeyDetail>())))
}

/// Create a key.
///
/// The key is in this answer and nowhere else: iam keeps only a digest of its secret. So the answer to a repetition with
/// the same Idempotency-Key tells the key that was made, but has `key` null; a key that got lost on the way is revoked
/// and made anew. Nobody makes a key that may do more than they may themselves.
#[utoipa::path(
    operation_id = "createKey",
    extensions(("x-access" = json!(Access::Caller))),
    request_body(content = CreateKey),
    responses((status = 201, body = MadeKey), (status = 404)),
)]
#[post("/keys")]
pub(crate) async fn create(app: Data<App>, command: Unchecked<CreateKey>) -> HttpResult {
    let command = command.check(async |ctx, body| grants::decide(&app, ctx, &body).await).await?;
    let (done, key) = ops::create(&app, &command.ctx, command.body.read()?).await?;
    answer::made(done, |row| MadeKey { key: key.map(|key| key.reveal()), detail: row.into() })
}

/// Revoke a key. It works at once, and stays in the list of those that are revoked.
#[utoipa::path(
    operation_id = "revokeKey",
    extensions(("x-access" = json!(Access::Caller))),
    responses((status = 200, body = Success)),
)]
#[delete("/keys/{keyId}")]
pub(crate) async fn revoke(app: Data<App>, path: Path<Uuid>, command: Unchecked<NoBody>) -> HttpResult {
    let command = command.check(async |ctx, _| ops::may_revoke(&app, ctx, path.0).await).await?;
    ops::revoke(&app, &command.ctx, path.0).await?.map(|_| Success::YES).without_etag(StatusCode::OK)
}
