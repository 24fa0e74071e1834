//! DNS records over HTTP.

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web::Data};
use database::Conn;
use domain::{
    DnsRecordId, Error, HostName, Name, PlatformId, ResourceId, Result, Role, StackId,
    access::Access,
    ownership::RecordHost,
    resource::{DnsStatus, Environment},
};
use identity::{Ctx, PlatformScope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Command, Context, HttpResult, ListQuery, NoBody, Path, Query, WriteResponse};

use super::{
    model::{DnsRecord, NewDnsRecord},
    ops, store,
};
use crate::{App, platforms, stacks};

/// Request to create a DNS record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateDnsRecord {
    /// Unique among all records. At or below the base domain, it must end in `.{platformId}.{base domain}`.
    hostname: HostName,
    /// Type of the target, such as `worker`.
    target_type: Name,
    /// A resource of the platform.
    #[schema(value_type = Uuid)]
    resource_id: ResourceId,
    environment: Environment,
}

/// A page of DNS records.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DnsRecordPage {
    /// Newest first.
    data: Vec<DnsRecord>,
    /// Cursor of the next page, if there is one.
    #[schema(required)]
    cursor: Option<String>,
    has_more: bool,
}

/// List DNS records for a stack, newest first.
#[utoipa::path(
    operation_id = "listDnsRecords",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery),
    responses((status = 200, body = DnsRecordPage)),
)]
#[get("/platforms/{platformId}/stacks/{stackId}/dns")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, StackId)>,
    query: Query<ListQuery>,
) -> HttpResult {
    let (scope, stack) = path.0;
    let (limit, after) = query.0.parse(&store::list(scope.id(), &stack))?;
    let page = app
        .db
        .read(&ctx, async |c| {
            let page = store::page(c, &scope, &stack, limit, &after);
            tokio::try_join!(check_stack(c, &scope, &stack), page).map(|((), page)| page)
        })
        .await?;
    let has_more = page.next.is_some();
    Ok(HttpResponse::Ok().json(DnsRecordPage { data: page.items, cursor: page.next, has_more }))
}

async fn check_stack(c: &Conn, scope: &PlatformScope, stack: &StackId) -> Result<()> {
    platforms::store::check_exists(c, scope).await?;
    if *stack == StackId::default_stack() {
        Ok(())
    } else {
        stacks::store::get(c, scope, stack).await.map(drop)
    }
}

/// Create a DNS record.
#[utoipa::path(
    operation_id = "createDnsRecord",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = CreateDnsRecord),
    responses((status = 201, body = DnsRecord)),
)]
#[post("/platforms/{platformId}/stacks/{stackId}/dns")]
pub(crate) async fn create(
    app: Data<App>,
    path: Path<(PlatformId, StackId)>,
    command: Command<CreateDnsRecord>,
) -> HttpResult {
    let ((scope, stack_id), body) = (path.0, command.body);
    let CreateDnsRecord { hostname, target_type, resource_id, environment } = body;
    let hostname = RecordHost::new(hostname, scope.id(), &app.settings.base_domain)
        .map_err(|reason| Error::invalid("hostname", reason));
    let (cf_route_id, status) = (None, DnsStatus::Pending);
    let new = hostname.map(|hostname| NewDnsRecord {
        stack_id,
        hostname,
        target_type,
        resource_id,
        environment,
        cf_route_id,
        status,
    });
    ops::create(&app, &command.ctx, &scope, new).await?.created()
}

/// Get a DNS record by stack and ID.
#[utoipa::path(
    operation_id = "getDnsRecordOfStack",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = DnsRecord)),
)]
#[get("/platforms/{platformId}/stacks/{stackId}/dns/{dnsId}")]
pub(crate) async fn get_of_stack(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, StackId, DnsRecordId)>,
    request: HttpRequest,
) -> HttpResult {
    let (scope, stack, id) = path.0;
    let record = find(&app, &ctx, &scope, id).await?;
    if record.stack_id != stack {
        return Err(Error::not_found("DNS record", id).into());
    }
    web::read(&request, &record)
}

/// Get a DNS record by platform and ID.
#[utoipa::path(
    operation_id = "getDnsRecord",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = DnsRecord)),
)]
#[get("/platforms/{platformId}/dns/{dnsId}")]
pub(crate) async fn get(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, DnsRecordId)>,
    request: HttpRequest,
) -> HttpResult {
    let (scope, id) = path.0;
    web::read(&request, &find(&app, &ctx, &scope, id).await?)
}

async fn find(app: &App, ctx: &Ctx, scope: &PlatformScope, id: DnsRecordId) -> Result<DnsRecord> {
    app.db
        .read(ctx, async |c| platforms::store::in_existing_platform(c, scope, store::get(c, scope, id)).await)
        .await
}

/// Delete a DNS record.
#[utoipa::path(
    operation_id = "deleteDnsRecord",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    responses((status = 204)),
)]
#[delete("/platforms/{platformId}/stacks/{stackId}/dns/{dnsId}")]
pub(crate) async fn delete(
    app: Data<App>,
    path: Path<(PlatformId, StackId, DnsRecordId)>,
    command: Command<NoBody>,
) -> HttpResult {
    let (scope, stack, id) = path.0;
    Ok(ops::delete(&app, &command.ctx, &scope, &stack, id).await?.no_content())
}
