//! Resources that the provider creates and the registry lists.
//!
//! Each is registered as `provisioning` first, so that a crash leaves no unknown resource. It is registered as `active`
//! only when the provider has created it.

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
    steps::into_domain_error,
};

/// Resource to create, and the platform that it belongs to.
pub(crate) struct ResourceSpec {
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    pub(crate) entity: String,
    pub(crate) kind: ResourceType,
    pub(crate) service: Slug,
    pub(crate) environment: Environment,
    pub(crate) target: Target,
    /// True if it already exists and is only changed. It need not be registered first.
    pub(crate) exists: bool,
}

/// Host name that points to a worker.
pub(crate) struct Host {
    pub(crate) platform: PlatformId,
    pub(crate) stack: StackId,
    pub(crate) environment: Environment,
    pub(crate) name: HostName,
    pub(crate) worker: ResourceRef,
}

/// Reference to a created resource, stored in the output of its step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResourceRef {
    pub(crate) resource_id: String,
    pub(crate) name: String,
    /// The provider's id of the worker's current deployment.
    #[serde(default)]
    pub(crate) deployment: Option<String>,
}

/// Creates and registers the resource.
pub(crate) async fn ensure(app: &App, cx: &StepCx, spec: &ResourceSpec) -> Result<ResourceRef> {
    if !spec.exists {
        register(app, cx, spec, ResourceStatus::Provisioning, None).await?;
    }
    let observed = app.provider.ensure(&spec.target).await.map_err(into_domain_error)?;
    let deployment = observed.details.get("deployment").and_then(|text| text.as_str().map(str::to_owned));
    let resource = register(app, cx, spec, ResourceStatus::Active, Some(observed)).await?;
    Ok(ResourceRef { resource_id: resource.id, name: spec.target.name().to_owned(), deployment })
}

async fn register(
    app: &App,
    cx: &StepCx,
    spec: &ResourceSpec,
    status: ResourceStatus,
    observed: Option<ObservedState>,
) -> Result<Resource> {
    // A path on disk is not an address that callers of the registry could use.
    let is_http = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    let (cf_id, cf_url) =
        observed.map_or((None, None), |seen| (Some(seen.provider_id), seen.url.filter(is_http)));
    let resource = Resource {
        id: String::new(),
        platform_id: spec.platform.to_string(),
        entity_id: spec.entity.clone(),
        stack_id: spec.stack.to_string(),
        resource_type: enum_number(spec.kind),
        service_name: spec.service.to_string(),
        environment: enum_number(spec.environment),
        cf_name: spec.target.name().to_owned(),
        cf_id,
        cf_url,
        status: enum_number(status),
        provision_job_id: Some(cx.saga_id.to_string()),
    };
    let response = app.registry.call(&cx.ctx, EnsureResourceRequest { resource: Some(resource) }).await;
    response?.resource.ok_or_else(|| Error::internal("the registry returned no resource"))
}

/// Removes the resource of this platform with this name, even if it was never created or registered.
pub(crate) async fn destroy(app: &App, cx: &StepCx, platform: &PlatformId, target: &Target) -> Result<()> {
    app.provider.destroy(target).await.map_err(into_domain_error)?;
    let listed = list_registered(app, cx, platform).await?;
    let registered = listed.resources.into_iter().find(|resource| resource.cf_name == target.name());
    match registered {
        Some(resource) => unregister(app, cx, platform, resource.id).await,
        None => Ok(()),
    }
}

/// Names of removed objects, and of objects that could not be destroyed, with the reason. Output of a removal step.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Removals {
    removed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Skipped>,
}

/// Registered object that was not created for this platform.
#[derive(Debug, Serialize)]
struct Skipped {
    name: String,
    reason: String,
}

impl Removals {
    fn add(&mut self, name: String, skipped: Option<String>) {
        match skipped {
            None => self.removed.push(name),
            Some(reason) => self.skipped.push(Skipped { name, reason }),
        }
    }
}

/// Destroys the object of a platform with a registered name. Returns the reason if it was skipped: no object of a
/// provider can have this name, or the object belongs to another platform.
async fn destroy_registered(
    app: &App,
    platform: &PlatformId,
    kind: ResourceKind,
    name: &str,
) -> Result<Option<String>> {
    let target = match Target::plain(&Owner::of(platform), kind, name) {
        Ok(target) => target,
        Err(invalid) => return Ok(Some(invalid.message)),
    };
    Ok(match app.provider.destroy(&target).await.map_err(into_domain_error)? {
        DestroyOutcome::Removed | DestroyOutcome::Absent => None,
        DestroyOutcome::NotOurs => Some("The object was not created for this platform.".to_owned()),
    })
}

/// Destroys a registered resource and removes it from the registry.
pub(crate) async fn remove(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
    registered: Resource,
    removed: &mut Removals,
) -> Result<()> {
    let kind = kind_of(type_of(&registered)?);
    let skipped = destroy_registered(app, platform, kind, &registered.cf_name).await?;
    unregister(app, cx, platform, registered.id).await?;
    removed.add(registered.cf_name, skipped);
    Ok(())
}

/// Destroys a registered host name and removes it from the registry.
pub(crate) async fn remove_host(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
    registered: DnsRecord,
    removed: &mut Removals,
) -> Result<()> {
    let skipped = destroy_registered(app, platform, ResourceKind::DnsRecord, &registered.hostname).await?;
    unregister_dns(app, cx, platform, registered.id).await?;
    removed.add(registered.hostname, skipped);
    Ok(())
}

pub(crate) fn type_of(registered: &Resource) -> Result<ResourceType> {
    parse_enum("resource_type", registered.resource_type)
}

pub(crate) fn environment_of(registered: &Resource) -> Result<Environment> {
    parse_enum("environment", registered.environment)
}

/// Points the host name to its worker and registers it.
pub(crate) async fn ensure_host(app: &App, cx: &StepCx, host: &Host) -> Result<()> {
    let owner = Owner::of(&host.platform).in_stack(&host.stack, &host.platform);
    let target =
        Target::dns(&owner, host.name.as_str(), host.worker.name.as_str()).map_err(into_domain_error)?;
    let observed = app.provider.ensure(&target).await.map_err(into_domain_error)?;
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

/// Removes host names, even if they were never created or registered.
pub(crate) async fn destroy_hosts(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
    names: &[HostName],
) -> Result<()> {
    let registered = list_registered(app, cx, platform).await?.dns_records;
    for name in names {
        destroy_registered(app, platform, ResourceKind::DnsRecord, name.as_str()).await?;
        if let Some(record) = registered.iter().find(|record| record.hostname == name.as_str()) {
            unregister_dns(app, cx, platform, record.id.clone()).await?;
        }
    }
    Ok(())
}

/// Returns all existing resources and DNS records of a platform.
pub(crate) async fn list_registered(
    app: &App,
    cx: &StepCx,
    platform: &PlatformId,
) -> Result<rpc::registry::ListResourcesResponse> {
    let message = rpc::registry::ListResourcesRequest { platform_id: platform.to_string() };
    app.registry.call(&cx.ctx, message).await
}

/// Removes a resource from the registry.
async fn unregister(app: &App, cx: &StepCx, platform: &PlatformId, resource_id: String) -> Result<()> {
    let message = DeleteResourceRequest { platform_id: platform.to_string(), resource_id };
    app.registry.call(&cx.ctx, message).await?;
    Ok(())
}

/// Removes a DNS record from the registry.
async fn unregister_dns(app: &App, cx: &StepCx, platform: &PlatformId, dns_record_id: String) -> Result<()> {
    let message = rpc::registry::DeleteDnsRecordRequest { platform_id: platform.to_string(), dns_record_id };
    app.registry.call(&cx.ctx, message).await?;
    Ok(())
}

/// Returns the provider's kind for a resource type.
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
