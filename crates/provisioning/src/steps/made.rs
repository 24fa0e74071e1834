//! A thing that is made by the provider and registered: in this order, so that what is registered exists, and
//! announced before, so that what exists is known.

use domain::{
    Error, HostName, PlatformId, Result, Slug, StackId,
    resource::{DnsStatus, Environment, ResourceStatus, ResourceType},
};
use rpc::{
    enum_number, parse_enum,
    registry::{DeleteResourceRequest, DnsRecord, EnsureDnsRecordRequest, EnsureResourceRequest, Resource},
};
use saga::StepCx;
use serde::{Deserialize, Serialize};

use crate::{
    App,
    providers::{DestroyOutcome, ObservedState, Owner, ResourceKind, Target},
    steps::fault,
};

/// Which resource, of which platform.
pub(crate) struct Wanted {
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    pub(crate) entity: String,
    pub(crate) kind: ResourceType,
    pub(crate) service: Slug,
    pub(crate) environment: Environment,
    pub(crate) target: Target,
    /// Whether it is there already, and only to be changed: it need not be announced.
    pub(crate) known: bool,
}

/// A host name that leads to a worker.
pub(crate) struct Host {
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    pub(crate) environment: Environment,
    pub(crate) name: HostName,
    pub(crate) worker: Made,
}

/// What a step knows of the resource it made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) resource_id: String,
    pub(crate) name: String,
    /// What of a worker runs now, in the provider's words.
    #[serde(default)]
    pub(crate) deployment: Option<String>,
}

/// Makes the resource and registers it.
pub(crate) async fn ensure(app: &App, cx: &StepCx, wanted: &Wanted) -> Result<Made> {
    // Known before it exists: a crash leaves nothing that no one knows of.
    if !wanted.known {
        register(app, cx, wanted, ResourceStatus::Provisioning, None).await?;
    }
    let observed = app.provider.ensure(&wanted.target).await.map_err(fault)?;
    let deployment = observed.details.get("deployment").and_then(|text| text.as_str().map(str::to_owned));
    let resource = register(app, cx, wanted, ResourceStatus::Active, Some(observed)).await?;
    Ok(Made { resource_id: resource.id, name: wanted.target.name().to_owned(), deployment })
}

async fn register(
    app: &App,
    cx: &StepCx,
    wanted: &Wanted,
    status: ResourceStatus,
    observed: Option<ObservedState>,
) -> Result<Resource> {
    // A place on disk is no address that the registry's callers could go to.
    let web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    let (cf_id, cf_url) =
        observed.map_or((None, None), |seen| (Some(seen.provider_id), seen.url.filter(web)));
    let resource = Resource {
        id: String::new(),
        platform_id: wanted.platform.to_string(),
        entity_id: wanted.entity.clone(),
        stack_id: wanted.stack.to_string(),
        resource_type: enum_number(wanted.kind),
        service_name: wanted.service.to_string(),
        environment: enum_number(wanted.environment),
        cf_name: wanted.target.name().to_owned(),
        cf_id,
        cf_url,
        status: enum_number(status),
        provision_job_id: Some(cx.saga_id.to_string()),
    };
    let answer = app.registry.call(&cx.ctx, EnsureResourceRequest { resource: Some(resource) }).await;
    answer?.resource.ok_or_else(|| Error::internal("the registry gave no resource"))
}

/// Removes the resource of this platform with this name, whether or not it was ever made or registered.
pub(crate) async fn destroy(app: &App, cx: &StepCx, platform: &PlatformId, target: &Target) -> Result<()> {
    app.provider.destroy(target).await.map_err(fault)?;
    let listed = platform_things(app, cx, platform).await?;
    let registered = listed.resources.into_iter().find(|one| one.cf_name == target.name());
    match registered {
        Some(resource) => unregister(app, cx, platform, resource.id).await,
        None => Ok(()),
    }
}

/// What was registered and is removed now, by name; and what there was nothing to destroy of, and why.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Removed {
    removed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Skipped>,
}

/// Something registered that provisioning did not make.
#[derive(Debug, Serialize)]
struct Skipped {
    name: String,
    reason: String,
}

impl Removed {
    fn note(&mut self, name: String, skipped: Option<String>) {
        match skipped {
            None => self.removed.push(name),
            Some(reason) => self.skipped.push(Skipped { name, reason }),
        }
    }
}

/// Destroys what is registered under a name for a platform. Says why, if there is nothing that could be destroyed: no
/// object of a provider can have this name, or the object is not this platform's.
async fn destroy_registered(
    app: &App,
    platform: &PlatformId,
    kind: ResourceKind,
    name: &str,
) -> Result<Option<String>> {
    let target = match Target::plain(&Owner::of(platform), kind, name) {
        Ok(target) => target,
        Err(impossible) => return Ok(Some(impossible.message)),
    };
    Ok(match app.provider.destroy(&target).await.map_err(fault)? {
        DestroyOutcome::Removed | DestroyOutcome::Absent => None,
        DestroyOutcome::NotOurs => Some("it was not made for this platform".to_owned()),
    })
}

/// Removes a resource that is registered.
pub(crate) async fn remove(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
    registered: Resource,
    removed: &mut Removed,
) -> Result<()> {
    let kind = kind_of(type_of(&registered)?);
    let skipped = destroy_registered(app, platform, kind, &registered.cf_name).await?;
    unregister(app, cx, platform, registered.id).await?;
    removed.note(registered.cf_name, skipped);
    Ok(())
}

/// Removes a host name that is registered.
pub(crate) async fn remove_host(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
    registered: DnsRecord,
    removed: &mut Removed,
) -> Result<()> {
    let skipped = destroy_registered(app, platform, ResourceKind::DnsRecord, &registered.hostname).await?;
    unregister_dns(app, cx, platform, registered.id).await?;
    removed.note(registered.hostname, skipped);
    Ok(())
}

pub(crate) fn type_of(registered: &Resource) -> Result<ResourceType> {
    parse_enum("resource_type", registered.resource_type)
}

pub(crate) fn environment_of(registered: &Resource) -> Result<Environment> {
    parse_enum("environment", registered.environment)
}

/// Makes the host name lead to its worker, and registers it.
pub(crate) async fn ensure_host(app: &App, cx: &StepCx, host: &Host) -> Result<()> {
    let owner = Owner::of(&host.platform).in_stack(&host.stack, &host.platform);
    let target = Target::dns(&owner, host.name.as_str(), host.worker.name.as_str()).map_err(fault)?;
    let observed = app.provider.ensure(&target).await.map_err(fault)?;
    let record = DnsRecord {
        id: String::new(),
        platform_id: host.platform.to_string(),
        stack_id: host.stack.to_string(),
        hostname: host.name.to_string(),
        target_type: ResourceType::Worker.to_string(),
        resource_id: host.worker.resource_id.clone(),
        environment: enum_number(host.environment),
        cf_route_id: Some(observed.provider_id),
        status: enum_number(DnsStatus::Active),
    };
    let message = EnsureDnsRecordRequest { record: Some(record) };
    app.registry.call(&cx.ctx, message).await?;
    Ok(())
}

/// Removes host names, whether or not they were ever made or registered.
pub(crate) async fn destroy_hosts(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
    names: &[HostName],
) -> Result<()> {
    let registered = platform_things(app, cx, platform).await?.dns_records;
    for name in names {
        destroy_registered(app, platform, ResourceKind::DnsRecord, name.as_str()).await?;
        if let Some(record) = registered.iter().find(|record| record.hostname == name.as_str()) {
            unregister_dns(app, cx, platform, record.id.clone()).await?;
        }
    }
    Ok(())
}

/// Every live resource and DNS record of a platform.
pub(crate) async fn platform_things(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
) -> Result<rpc::registry::ListResourcesResponse> {
    let message = rpc::registry::ListResourcesRequest { platform_id: platform.to_string() };
    app.registry.call(&cx.ctx, message).await
}

/// Takes a resource out of the registry.
async fn unregister(app: &App, cx: &StepCx, platform: &PlatformId, resource_id: String) -> Result<()> {
    let message = DeleteResourceRequest { platform_id: platform.to_string(), resource_id };
    app.registry.call(&cx.ctx, message).await?;
    Ok(())
}

/// Takes a DNS record out of the registry.
async fn unregister_dns(app: &App, cx: &StepCx, platform: &PlatformId, dns_record_id: String) -> Result<()> {
    let message = rpc::registry::DeleteDnsRecordRequest { platform_id: platform.to_string(), dns_record_id };
    app.registry.call(&cx.ctx, message).await?;
    Ok(())
}

/// The provider's word for a type of resource.
pub(crate) const fn kind_of(kind: ResourceType) -> ResourceKind {
    match kind {
        ResourceType::Worker => ResourceKind::Worker,
        ResourceType::Pages => ResourceKind::Pages,
        ResourceType::D1 => ResourceKind::D1,
        ResourceType::R2 => ResourceKind::R2,
        ResourceType::Kv => ResourceKind::Kv,
        ResourceType::Queue => ResourceKind::Queue,
    }
}
