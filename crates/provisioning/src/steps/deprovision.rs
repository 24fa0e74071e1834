//! DEPROVISION_PLATFORM: everything that a platform owns, taken down. What cannot be taken down stops the job there,
//! for someone to retry.

use async_trait::async_trait;
use domain::{Error, PlatformId, Result, job::JobType, resource::ResourceType};
use kit::grpc::PeerCall;
use rpc::registry::{ClearPlatformRequest, registry_client::RegistryClient};
use saga::{Definition, OnFailure, Progress, Step, StepCx};

use super::{fault, made};
use crate::{
    App,
    providers::{ResourceKind, Target},
    repository,
};

pub(crate) fn definition() -> Definition<App> {
    Definition {
        version: 2,
        steps: vec![Box::new(DnsRecords), Box::new(Resources), Box::new(Repository), Box::new(Report)],
        ..before_reports()
    }
}

/// Version 1, which tells the registry nothing.
pub(crate) fn before_reports() -> Definition<App> {
    Definition {
        kind: JobType::DeprovisionPlatform.as_str(),
        version: 1,
        steps: vec![Box::new(DnsRecords), Box::new(Resources), Box::new(Repository)],
        on_failure: OnFailure::Stop,
    }
}

fn platform(cx: &StepCx) -> Result<PlatformId> {
    cx.subject.parse().map_err(Error::internal)
}

/// Nothing that was taken down comes back.
fn no_way_back() -> Result<()> {
    Ok(())
}

struct DnsRecords;

#[async_trait]
impl Step<App> for DnsRecords {
    fn name(&self) -> &'static str {
        "dns"
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress> {
        let platform = platform(cx)?;
        let records = made::platform_things(app, cx, &platform).await?.dns_records;
        for record in &records {
            let target = Target::plain(ResourceKind::DnsRecord, record.hostname.as_str()).map_err(fault)?;
            app.provider.destroy(&target).await.map_err(fault)?;
            made::unregister_dns(app, cx, &platform, record.id.clone()).await?;
        }
        Progress::done(records.len())
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

struct Resources;

#[async_trait]
impl Step<App> for Resources {
    fn name(&self) -> &'static str {
        "resources"
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress> {
        let platform = platform(cx)?;
        let mut resources = made::platform_things(app, cx, &platform).await?.resources;
        // Code first, then the data that it uses.
        let runs = |kind: &str| kind == ResourceType::Worker.as_str() || kind == ResourceType::Pages.as_str();
        resources.sort_by_key(|resource| !runs(&resource.resource_type));
        for resource in &resources {
            let kind: ResourceType = rpc::parse("resource_type", &resource.resource_type)?;
            let target = Target::plain(made::kind_of(kind), resource.cf_name.as_str()).map_err(fault)?;
            app.provider.destroy(&target).await.map_err(fault)?;
            made::unregister(app, cx, &platform, resource.id.clone()).await?;
        }
        Progress::done(resources.len())
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

struct Repository;

#[async_trait]
impl Step<App> for Repository {
    fn name(&self) -> &'static str {
        "repository"
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress> {
        repository::delete(app, &platform(cx)?).await?;
        Progress::done(true)
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

/// The platform may live on: then none of its features runs any more.
struct Report;

#[async_trait]
impl Step<App> for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress> {
        let (platform_id, job_id) = (platform(cx)?.to_string(), cx.saga_id.to_string());
        let message = ClearPlatformRequest { platform_id, job_id };
        let request = app.registry.request(&cx.ctx, PeerCall::default(), message)?;
        app.registry.answer(RegistryClient::new(app.registry.channel()).clear_platform(request).await)?;
        Progress::done(true)
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}
