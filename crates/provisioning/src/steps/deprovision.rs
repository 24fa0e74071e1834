//! DEPROVISION_PLATFORM: removes everything that a platform owns. Registered objects that were not created for the
//! platform are left unchanged and listed in the output of the step. An object that cannot be removed stops the job
//! until an operator retries it.

use async_trait::async_trait;
use domain::{Error, PlatformId, Result, job::JobType};
use rpc::registry::ClearPlatformRequest;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey, StepName};

use super::{irreversible, registered};
use crate::{App, repository};

pub(crate) fn definition() -> Definition<App> {
    Definition {
        version: 2,
        steps: vec![Box::new(DnsRecords), Box::new(Resources), Box::new(Repository), Box::new(Report)],
        ..without_report()
    }
}

/// Version 1, which does not report to the registry.
pub(crate) fn without_report() -> Definition<App> {
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
    type Output = registered::Removals;

    fn key(&self) -> StepKey<registered::Removals> {
        StepKey::new("dns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<registered::Removals>> {
        let platform = platform(cx)?;
        let mut removed = registered::Removals::default();
        for record in registered::list_registered(app, cx, &platform).await?.dns_records {
            registered::remove_host(app, cx, &platform, record, &mut removed).await?;
        }
        Ok(Progress::Done(removed))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
    }
}

struct Resources;

#[async_trait]
impl Step<App> for Resources {
    type Output = registered::Removals;

    fn key(&self) -> StepKey<registered::Removals> {
        StepKey::new("resources")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<registered::Removals>> {
        let platform = platform(cx)?;
        let mut resources = registered::list_registered(app, cx, &platform).await?.resources;
        // Code first, then the data that the code uses.
        resources.sort_by_key(|resource| registered::type_of(resource).is_ok_and(|kind| !kind.runs_code()));
        let mut removed = registered::Removals::default();
        for resource in resources {
            registered::remove(app, cx, &platform, resource, &mut removed).await?;
        }
        Ok(Progress::Done(removed))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
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
        irreversible()
    }
}

/// Reports the end to the registry. The platform may continue to exist; its features then no longer run.
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
        irreversible()
    }
}
