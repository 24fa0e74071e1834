//! Custom domains over HTTP.

use actix_web::{HttpResponse, delete, get, patch, post, web::Data};
use domain::{
    DnsRecordId, DomainId, Error, Fault, HostName, Name, Patch, PlatformId, Result, Role, UnixMillis,
    access::Access,
    explain::Explanation,
    ownership::{CustomHost, PlatformHost},
    resource::DomainStatus,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::{Command, Context, HttpResult, ListQuery, NoBody, Path, Query, WriteResponse};

use super::{
    explain,
    model::{Change, NewDomain, PendingDomain},
    ops, store,
    view::CustomDomain,
};
use crate::{App, platforms};

/// Request to create a custom domain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateDomain {
    /// DNS record of the platform that the domain is attached to.
    #[schema(value_type = Uuid)]
    dns_record_id: DnsRecordId,
    /// Unique among the platform's custom domains, and outside the base domain.
    hostname: HostName,
    /// Host name to point to. It ends in `.{platformId}.{base domain}`.
    target_dns: HostName,
    #[schema(nullable = false)]
    cf_hostname_id: Option<Name>,
}

/// Changes to a custom domain. Absent fields keep their values.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UpdateDomain {
    #[schema(nullable = false)]
    ssl_status: Option<Name>,
    /// `pending` schedules a check at once. Only operators can set `active`.
    #[schema(nullable = false)]
    status: Option<DomainStatus>,
    /// Operators only. An active domain without it gets the time of the change.
    #[serde(default)]
    #[schema(value_type = Option<UnixMillis>)]
    verified_at: Patch<UnixMillis>,
    #[serde(default)]
    #[schema(value_type = Option<Name>)]
    cf_hostname_id: Patch<Name>,
}

/// A page of custom domains.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomDomainPage {
    /// Newest first.
    data: Vec<CustomDomain>,
    /// Cursor of the next page, if there is one.
    #[schema(required)]
    cursor: Option<String>,
}

/// Pending custom domains, without pagination.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingDomains {
    /// Longest due first.
    data: Vec<PendingDomain>,
}

/// List the pending custom domains of all platforms, longest due for a check first, at most 1000. Operators only.
#[utoipa::path(
    operation_id = "listPendingDomains",
    extensions(("x-access" = json!(Access::Everything))),
    responses((status = 200, body = PendingDomains)),
)]
#[get("/domains/pending")]
pub(crate) async fn pending(app: Data<App>, ctx: Context) -> HttpResult {
    let scope = &ctx.caller.scope;
    let data = app.db.read(&ctx, async |c| store::pending(c, scope).await).await?;
    Ok(HttpResponse::Ok().json(PendingDomains { data }))
}

/// List custom domains for a platform, newest first.
#[utoipa::path(
    operation_id = "listDomains",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    params(ListQuery),
    responses((status = 200, body = CustomDomainPage)),
)]
#[get("/platforms/{platformId}/domains")]
pub(crate) async fn list(
    app: Data<App>,
    ctx: Context,
    path: Path<PlatformId>,
    query: Query<ListQuery>,
) -> HttpResult {
    let scope = path.0;
    let (limit, after) = query.0.parse(&store::list(scope.id()))?;
    let page = app
        .db
        .read(&ctx, async |c| {
            let page = store::page(c, &scope, limit, &after);
            platforms::store::in_existing_platform(c, &scope, page).await
        })
        .await?;
    let page = page.convert::<CustomDomain>();
    Ok(HttpResponse::Ok().json(CustomDomainPage { data: page.items, cursor: page.next }))
}

/// Create a custom domain.
///
/// It is `pending` until a check verifies that it points to its target.
#[utoipa::path(
    operation_id = "createDomain",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = CreateDomain),
    responses((status = 201, body = CustomDomain)),
)]
#[post("/platforms/{platformId}/domains")]
pub(crate) async fn create(
    app: Data<App>,
    path: Path<PlatformId>,
    command: Command<CreateDomain>,
) -> HttpResult {
    let new = command.body.read(path.0.id(), &app.settings.base_domain);
    ops::create(&app, &command.ctx, &path.0, new).await?.created()
}

impl CreateDomain {
    /// Returns the new domain, or the faults of both host names.
    fn read(self, platform: &PlatformId, base: &HostName) -> Result<NewDomain> {
        let hostname = CustomHost::new(self.hostname, base);
        let target_dns = PlatformHost::new(self.target_dns, platform, base);
        match (hostname, target_dns) {
            (Ok(hostname), Ok(target_dns)) => Ok(NewDomain {
                dns_record_id: self.dns_record_id,
                hostname,
                target_dns,
                cf_hostname_id: self.cf_hostname_id.map(|id| id.to_string()),
            }),
            (hostname, target_dns) => {
                let fault =
                    |path: &str, reason: Option<String>| reason.map(|reason| Fault::new(path, reason));
                let faults = [fault("hostname", hostname.err()), fault("targetDns", target_dns.err())];
                Err(Error::validation(faults.into_iter().flatten().collect()))
            }
        }
    }
}

/// Explain why a custom domain is not active: one sentence and the chain of causes.
#[utoipa::path(
    operation_id = "explainDomain",
    extensions(("x-access" = json!(Access::Entity(Role::Viewer)))),
    responses((status = 200, body = Explanation)),
)]
#[get("/platforms/{platformId}/domains/{domainId}/explain")]
pub(crate) async fn get_explanation(
    app: Data<App>,
    ctx: Context,
    path: Path<(PlatformId, DomainId)>,
) -> HttpResult {
    let (scope, id) = path.0;
    Ok(HttpResponse::Ok().json(explain::explain_domain(&app, &ctx, &scope, id).await?))
}

/// Update a custom domain.
#[utoipa::path(
    operation_id = "updateDomain",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    request_body(content = UpdateDomain),
    responses((status = 200, body = CustomDomain)),
)]
#[patch("/platforms/{platformId}/domains/{domainId}")]
pub(crate) async fn update(
    app: Data<App>,
    path: Path<(PlatformId, DomainId)>,
    command: Command<UpdateDomain>,
) -> HttpResult {
    let ((scope, id), UpdateDomain { ssl_status, status, verified_at, cf_hostname_id }) =
        (path.0, command.body);
    let change = Change {
        ssl_status,
        status,
        verified_at: verified_at.map(UnixMillis::time),
        cf_hostname_id: cf_hostname_id.map(|id| id.to_string()),
    };
    ops::update(&app, &command.ctx, &scope, id, change).await?.ok()
}

/// Delete a custom domain.
#[utoipa::path(
    operation_id = "deleteDomain",
    extensions(("x-access" = json!(Access::Entity(Role::Developer)))),
    responses((status = 204)),
)]
#[delete("/platforms/{platformId}/domains/{domainId}")]
pub(crate) async fn delete(
    app: Data<App>,
    path: Path<(PlatformId, DomainId)>,
    command: Command<NoBody>,
) -> HttpResult {
    let (scope, id) = path.0;
    Ok(ops::delete(&app, &command.ctx, &scope, id).await?.no_content())
}
