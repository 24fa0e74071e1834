//! DEACTIVATE_FEATURE: the service of a feature taken down, if no other entity runs it. If it cannot be, it is put up
//! again, and the feature is active as before.

use async_trait::async_trait;
use domain::{HostName, Result, Version, job::JobType};
use rpc::registry::EndFeatureJobRequest;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey};

use super::{Asked, Begin, end, service::Job};
use crate::{App, steps::made};

pub(crate) fn definition() -> Definition<App> {
    let begin = Begin(JobType::DeactivateFeature);
    Definition {
        kind: JobType::DeactivateFeature.as_str(),
        version: 1,
        steps: vec![Box::new(begin), Box::new(Dns), Box::new(Worker), Box::new(Data), Box::new(Report)],
        on_failure: OnFailure::Undo,
    }
}

struct Dns;

#[async_trait]
impl Step<App> for Dns {
    type Output = HostName;

    fn key(&self) -> StepKey<HostName> {
        StepKey::new("dns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<HostName>> {
        match Job::of(cx)? {
            Some(job) if job.plan.version.is_none() => {
                let service = job.service(app, cx);
                service.destroy_host().await?;
                Ok(Progress::Done(service.host()?))
            }
            _ => Ok(Progress::Skipped),
        }
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        match Job::to_undo(app, cx).await? {
            Some(job) => job.service(app, cx).restore_host(job.plan.version_before.as_ref()).await,
            None => Ok(()),
        }
    }
}

struct Worker;

#[async_trait]
impl Step<App> for Worker {
    type Output = Option<Version>;

    fn key(&self) -> StepKey<Option<Version>> {
        StepKey::new("worker")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Option<Version>>> {
        let Some(job) = Job::of(cx)? else { return Ok(Progress::Skipped) };
        let service = job.service(app, cx);
        // Where others run less than this entity did, it is less that runs from now on.
        match &job.plan.version {
            Some(version) => drop(service.ensure_worker(version, job.plan.version_before.is_some()).await?),
            None => service.destroy_worker().await?,
        }
        Ok(Progress::Done(job.plan.version))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        match Job::to_undo(app, cx).await? {
            Some(job) => job.service(app, cx).restore_worker(job.plan.version_before.as_ref()).await,
            None => Ok(()),
        }
    }
}

struct Data;

#[async_trait]
impl Step<App> for Data {
    type Output = made::Removed;

    fn key(&self) -> StepKey<made::Removed> {
        StepKey::new("data")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<made::Removed>> {
        let Some(job) = Job::of(cx)? else { return Ok(Progress::Skipped) };
        let service = job.service(app, cx);
        if !service.deletes_data() {
            return Ok(Progress::Skipped);
        }
        Ok(Progress::Done(service.destroy_data().await?))
    }

    /// What is deleted does not come back. It goes last, when nothing else is left that could fail but the report.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

struct Report;

#[async_trait]
impl Step<App> for Report {
    type Output = bool;

    fn key(&self) -> StepKey<bool> {
        StepKey::new("report")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<bool>> {
        let gives_up_data = cx.input::<Asked>()?.delete_data;
        let told = EndFeatureJobRequest { gives_up_data, ..EndFeatureJobRequest::default() };
        end(app, cx, JobType::DeactivateFeature, told).await?;
        Ok(Progress::Done(gives_up_data))
    }

    /// The first step tells how the job ended, when all is undone.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}
