//! DEACTIVATE_FEATURE: removes the service of a feature if no other entity uses it. If that fails, the job restores the
//! service, and the feature stays active.

use async_trait::async_trait;
use domain::{HostName, Result, Version, job::JobType};
use rpc::registry::EndFeatureJobRequest;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey};

use super::{Begin, JobInput, report_end, service::Job};
use crate::{App, steps::registered};

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
        // The other entities may use an older version than this entity did. The service then runs the older one.
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
    type Output = registered::Removals;

    fn key(&self) -> StepKey<registered::Removals> {
        StepKey::new("data")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<registered::Removals>> {
        let Some(job) = Job::of(cx)? else { return Ok(Progress::Skipped) };
        let service = job.service(app, cx);
        if !service.deletes_data() {
            return Ok(Progress::Skipped);
        }
        Ok(Progress::Done(service.destroy_data().await?))
    }

    /// Deleted data cannot be restored. Therefore this step is last; only the report after it can still fail.
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
        let gives_up_data = cx.input::<JobInput>()?.delete_data;
        let end_request = EndFeatureJobRequest { gives_up_data, ..EndFeatureJobRequest::default() };
        report_end(app, cx, JobType::DeactivateFeature, end_request).await?;
        Ok(Progress::Done(gives_up_data))
    }

    /// The undo of the first step reports the end of the job.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}
