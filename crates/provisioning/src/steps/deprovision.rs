//! DEPROVISION_PLATFORM: everything that a platform owns, taken down. What is registered and was not made for the platform
//! is left as it is; the output of the step names it. What cannot be taken down stops the job there,
//! for someone to retry.

use async_trait::async_trait;
use domain::{Error, PlatformId, Result, job::JobType};
use rpc::registry::ClearPlatformRequest;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey, StepName};

use super::{made, no_way_back};
use crate::{App, repository};

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

struct DnsRecords;

#[async_trait]
impl Step<App> for DnsRecords {
    type Output = made::Removed;

    fn key(&self) -> StepKey<made::Removed> {
        StepKey::new("dns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<made::Removed>> {
        let platform = platform(cx)?;
        let mut removed = made::Removed::default();
        for record in made::platform_things(app, cx, &platform).await?.dns_records {
            made::remove_host(app, cx, &platform, record, &mut removed).await?;
        }
        Ok(Progress::Done(removed))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

struct Resources;

#[async_trait]
impl Step<App> for Resources {
    type Output = made::Removed;

    fn key(&self) -> StepKey<made::Removed> {
        StepKey::new("resources")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<made::Removed>> {
        let platform = platform(cx)?;
        let mut resources = made::platform_things(app, cx, &platform).await?.resources;
        // Code first, then the data that it uses.
        resources.sort_by_key(|one| made::type_of(one).is_ok_and(|kind| !kind.runs_code()));
        let mut removed = made::Removed::default();
        for resource in resources {
            made::remove(app, cx, &platform, resource, &mut removed).await?;
        }
        Ok(Progress::Done(removed))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

struct Repository;

#[async_trait]
impl Step<App> for Repository {
    type Output = bool;

    fn key(&self) -> StepKey<bool> {
        StepKey::new("repository")
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        Some(&[])
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<bool>> {
        repository::delete(app, &platform(cx)?).await?;
        Ok(Progress::Done(true))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

/// The platform may live on: then none of its features runs any more.
struct Report;

#[async_trait]
impl Step<App> for Report {
    type Output = bool;

    fn key(&self) -> StepKey<bool> {
        StepKey::new("report")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<bool>> {
        let (platform_id, job_id) = (platform(cx)?.to_string(), cx.saga_id.to_string());
        let message = ClearPlatformRequest { platform_id, job_id };
        app.registry.call(&cx.ctx, message).await?;
        Ok(Progress::Done(true))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}
