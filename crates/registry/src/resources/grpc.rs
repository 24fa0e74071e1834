//! Resources over gRPC.

use domain::{Error, PlatformId, Result, ownership::PlatformResourceName, resource::ResourceStatus};
use rpc::{
    enum_number, parse, parse_enum, parse_optional, read_ctx,
    registry::{
        DeleteResourceRequest, DeleteResourceResponse, EnsureResourceRequest, EnsureResourceResponse,
        ListResourcesRequest, ListResourcesResponse, Resource as ResourceMessage,
    },
    required, write_ctx,
};
use tonic::Request;

use super::{
    model::{NewResource, Resource},
    ops, store,
};
use crate::{App, dns, platforms};

impl From<Resource> for ResourceMessage {
    fn from(row: Resource) -> Self {
        Self {
            id: row.id.to_string(),
            platform_id: row.platform_id.to_string(),
            entity_id: row.entity_id.to_string(),
            stack_id: row.stack_id.to_string(),
            resource_type: enum_number(row.resource_type),
            service_name: row.service_name.to_string(),
            environment: enum_number(row.environment),
            cf_name: row.cf_name.to_string(),
            cf_id: row.cf_id,
            cf_url: row.cf_url.map(|url| url.to_string()),
            status: enum_number(row.status),
            provision_job_id: row.provision_job_id,
        }
    }
}

fn read(message: ResourceMessage, platform: &PlatformId) -> Result<NewResource> {
    let status = parse_enum("resource.status", message.status)?;
    if status == ResourceStatus::Deleted {
        return Err(Error::invalid("resource.status", "must not be deleted; use DeleteResource instead"));
    }
    Ok(NewResource {
        entity_id: parse("resource.entity_id", &message.entity_id)?,
        stack_id: parse("resource.stack_id", &message.stack_id)?,
        resource_type: parse_enum("resource.resource_type", message.resource_type)?,
        service_name: parse("resource.service_name", &message.service_name)?,
        environment: parse_enum("resource.environment", message.environment)?,
        cf_name: PlatformResourceName::new(parse("resource.cf_name", &message.cf_name)?, platform)
            .map_err(|reason| Error::invalid("resource.cf_name", reason))?,
        cf_id: message.cf_id,
        cf_url: parse_optional("resource.cf_url", message.cf_url.as_deref())?,
        status,
        provision_job_id: message.provision_job_id,
        config: None,
    })
}

pub(crate) async fn ensure_resource(
    app: &App,
    request: Request<EnsureResourceRequest>,
) -> Result<EnsureResourceResponse> {
    let ctx = write_ctx(&request)?;
    let message = required("resource", request.into_inner().resource)?;
    let platform: PlatformId = parse("resource.platform_id", &message.platform_id)?;
    let scope = ctx.platform(&platform)?;
    let done = ops::ensure(app, &ctx, &scope, read(message, &platform)?).await?;
    Ok(EnsureResourceResponse { resource: Some(done.value.into()) })
}

pub(crate) async fn delete_resource(
    app: &App,
    request: Request<DeleteResourceRequest>,
) -> Result<DeleteResourceResponse> {
    let ctx = write_ctx(&request)?;
    let message = request.into_inner();
    let id = parse("resource_id", &message.resource_id)?;
    let scope = ctx.platform(&parse("platform_id", &message.platform_id)?)?;
    ops::delete_once(app, &ctx, &scope, id).await?;
    Ok(DeleteResourceResponse {})
}

/// Lists the resources of a platform, also of a deleted one, whose infrastructure is still to be removed.
pub(crate) async fn list_resources(
    app: &App,
    request: Request<ListResourcesRequest>,
) -> Result<ListResourcesResponse> {
    let ctx = read_ctx(&request)?;
    let scope = ctx.platform(&parse("platform_id", &request.into_inner().platform_id)?)?;
    let (resources, records) = app
        .db
        .read(&ctx, async |c| {
            platforms::store::get(c, &scope, true).await?;
            tokio::try_join!(store::all(c, &scope), dns::store::all(c, &scope))
        })
        .await?;
    Ok(ListResourcesResponse {
        resources: resources.into_iter().map(ResourceMessage::from).collect(),
        dns_records: records.into_iter().map(Into::into).collect(),
    })
}
