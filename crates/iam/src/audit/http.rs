//! HTTP handlers of the audit log.

use actix_web::{HttpResponse, get, web::Data};
use domain::access::Access;
use web::{Context, HttpResult, ListQuery, Paged, Query};

use super::{model::AuditEntry, store};
use crate::App;

/// List the changes of keys and bindings, newest first. Only operators may call this operation.
#[utoipa::path(
    operation_id = "listAccessAudit",
    extensions(("x-access" = json!(Access::Everything))),
    params(ListQuery),
    responses((status = 200, body = Paged<AuditEntry>)),
)]
#[get("/audit")]
pub(crate) async fn list(app: Data<App>, ctx: Context, query: Query<ListQuery>) -> HttpResult {
    let (limit, after) = query.0.parse(store::LIST)?;
    let page = app.db.read(&ctx, async |c| store::page(c, limit, &after).await).await?;
    Ok(HttpResponse::Ok().json(Paged::from(page)))
}
