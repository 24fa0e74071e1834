//! ACTIVATE_FEATURE: creates the service of a feature or brings it to another version, then activates the feature.

use async_trait::async_trait;
use domain::{Error, HostName, Result, job::JobType};
use rpc::registry::EndFeatureJobRequest;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey};

use super::{Begin, report_end, service::Job};
use crate::{App, steps::registered::ResourceRef};

pub(crate) fn definition() -> Definition<App> {
    let begin = Begin(JobType::ActivateFeature);
    Definition {
        kind: JobType::ActivateFeature.as_str(),
        version: 1,
        steps: vec![Box::new(begin), Box::new(Database), Box::new(Worker), Box::new(Dns), Box::new(Report)],
        on_failure: OnFailure::Undo,
    }
}

struct Database;

#[async_trait]
impl Step<App> for Database {
    type Output = ResourceRef;

    fn key(&self) -> StepKey<ResourceRef> {
        StepKey::new("database")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<ResourceRef>> {
        let Some(job) = Job::of(cx)? else { return Ok(Progress::Skipped) };
        Ok(Progress::Done(job.service(app, cx).ensure_database(job.plan.has_data).await?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        match Job::to_undo(app, cx).await? {
            // Data that existed before this job must not be deleted.
            Some(job) if !job.plan.has_data => job.service(app, cx).destroy_database().await,
            _ => Ok(()),
        }
    }
}

const WORKER: StepKey<ResourceRef> = StepKey::new("worker");

struct Worker;

#[async_trait]
impl Step<App> for Worker {
    type Output = ResourceRef;

    fn key(&self) -> StepKey<ResourceRef> {
        WORKER
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<ResourceRef>> {
        let Some(job) = Job::of(cx)? else { return Ok(Progress::Skipped) };
        let version = job.plan.version.as_ref();
        let version = version.ok_or_else(|| Error::internal("the registry returned no version"))?;
        let exists = job.plan.version_before.is_some();
        Ok(Progress::Done(job.service(app, cx).ensure_worker(version, exists).await?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        match Job::to_undo(app, cx).await? {
            Some(job) => job.service(app, cx).restore_worker(job.plan.version_before.as_ref()).await,
            None => Ok(()),
        }
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
        let Some(job) = Job::of(cx)? else { return Ok(Progress::Skipped) };
        let service = job.service(app, cx);
        service.ensure_host(cx.output(WORKER)?).await?;
        Ok(Progress::Done(service.host()?))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        match Job::to_undo(app, cx).await? {
            Some(job) if job.plan.version_before.is_none() => job.service(app, cx).destroy_host().await,
            _ => Ok(()),
        }
    }
}

struct Report;

#[async_trait]
impl Step<App> for Report {
    type Output = Option<String>;

    fn key(&self) -> StepKey<Option<String>> {
        StepKey::new("report")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Option<String>>> {
        let service_url = match Job::of(cx)? {
            Some(job) => Some(job.service(app, cx).url()?),
            None => None,
        };
        let worker = cx.output_if_any(WORKER)?;
        let end_request = EndFeatureJobRequest {
            cf_deployment_id: worker.and_then(|worker| worker.deployment),
            service_url: service_url.clone(),
            ..EndFeatureJobRequest::default()
        };
        report_end(app, cx, JobType::ActivateFeature, end_request).await?;
        Ok(Progress::Done(service_url))
    }

    /// The undo of the first step reports the end of the job.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}
