//! ACTIVATE_STACK: creates all resources of a stack version, switches the stack to it, and only then removes the
//! services that the version no longer contains.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Error, HostName, Kind, Result, job::JobType, resource::ResourceType};
use rpc::registry::{EndStackJobRequest, ServedFeature};
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey, StepName};

use super::{Plan, Work, begin, lock_features, report_end};
use crate::{App, steps::registered::ResourceRef};

const FEATURE_LOCKS: StepKey<BTreeSet<String>> = StepKey::new("turns");
const KIND: JobType = JobType::ActivateStack;

pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: KIND.as_str(),
        version: 1,
        steps: vec![
            Box::new(Begin),
            Box::new(FeatureLocks),
            Box::new(Shared),
            Box::new(Databases),
            Box::new(Workers),
            Box::new(Dns),
            Box::new(Switch),
            Box::new(Cleanup),
        ],
        on_failure: OnFailure::Undo,
    }
}

/// First step, see [`begin`]. Its undo runs last and reports the failure of the job to the registry.
struct Begin;

#[async_trait]
impl Step<App> for Begin {
    type Output = Plan;

    fn key(&self) -> StepKey<Plan> {
        super::BEGIN
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Plan>> {
        begin(app, cx, KIND).await
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let error = Some(cx.error.clone().unwrap_or_else(|| "The job was undone.".to_owned()));
        report_end(app, cx, KIND, EndStackJobRequest { error, ..EndStackJobRequest::default() }).await
    }

    fn undo_if_not_started(&self) -> bool {
        true
    }
}

struct FeatureLocks;

#[async_trait]
impl Step<App> for FeatureLocks {
    type Output = BTreeSet<String>;

    fn key(&self) -> StepKey<BTreeSet<String>> {
        FEATURE_LOCKS
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<BTreeSet<String>>> {
        let features: BTreeSet<_> =
            Work::of(cx)?.plan.services.iter().map(|planned| planned.feature.to_string()).collect();
        lock_features(app, cx, features).await
    }

    /// The locks are released when the job ends.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

struct Shared;

#[async_trait]
impl Step<App> for Shared {
    type Output = Vec<ResourceRef>;

    fn key(&self) -> StepKey<Vec<ResourceRef>> {
        StepKey::new("shared")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<ResourceRef>>> {
        let work = Work::of(cx)?;
        let mut created = Vec::new();
        for kind in &work.plan.shared {
            let exists = work.plan.existing.contains(&work.context.shared_name(*kind)?);
            created.push(work.context.ensure_shared(app, cx, *kind, exists).await?);
        }
        Ok(Progress::Done(created))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for kind in &work.plan.shared {
            let name = work.context.shared_name(*kind)?;
            // Data that existed before this job must not be deleted.
            if !work.plan.existing.contains(&name) {
                work.context.destroy(app, cx, *kind, name).await?;
            }
        }
        Ok(())
    }
}

struct Databases;

#[async_trait]
impl Step<App> for Databases {
    type Output = Vec<ResourceRef>;

    fn key(&self) -> StepKey<Vec<ResourceRef>> {
        StepKey::new("databases")
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        Some(const { &[FEATURE_LOCKS.name()] })
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<ResourceRef>>> {
        let work = Work::of(cx)?;
        let mut created = Vec::new();
        for (planned, _) in work.running() {
            let service = work.service(app, cx, planned);
            let exists = work.plan.existing.contains(&service.name(ResourceType::D1)?);
            created.push(service.ensure_database(exists).await?);
        }
        Ok(Progress::Done(created))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for (planned, _) in work.running() {
            let service = work.service(app, cx, planned);
            if !work.plan.existing.contains(&service.name(ResourceType::D1)?) {
                service.destroy_database().await?;
            }
        }
        Ok(())
    }
}

const WORKERS: StepKey<BTreeMap<String, ResourceRef>> = StepKey::new("workers");

/// Deploys the new version to all workers, existing ones included. The manifest shows the complete old version until
/// every part of the new version is in place.
struct Workers;

#[async_trait]
impl Step<App> for Workers {
    type Output = BTreeMap<String, ResourceRef>;

    fn key(&self) -> StepKey<BTreeMap<String, ResourceRef>> {
        WORKERS
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<BTreeMap<String, ResourceRef>>> {
        let work = Work::of(cx)?;
        let mut created: BTreeMap<String, ResourceRef> = BTreeMap::new();
        for (planned, version) in work.running() {
            let worker = work
                .service(app, cx, planned)
                .ensure_worker(version, planned.version_before.is_some())
                .await?;
            created.insert(planned.feature.to_string(), worker);
        }
        Ok(Progress::Done(created))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for (planned, _) in work.running() {
            work.service_before(app, cx, planned).restore_worker(planned.version_before.as_ref()).await?;
        }
        Ok(())
    }
}

struct Dns;

#[async_trait]
impl Step<App> for Dns {
    type Output = Vec<HostName>;

    fn key(&self) -> StepKey<Vec<HostName>> {
        StepKey::new("dns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<HostName>>> {
        let (work, workers) = (Work::of(cx)?, cx.output(WORKERS)?);
        let mut hosts = Vec::new();
        for (planned, _) in work.running() {
            let service = work.service(app, cx, planned);
            let worker = workers.get(planned.feature.as_str()).cloned();
            service
                .ensure_host(
                    worker.ok_or_else(|| Error::internal("a worker is missing in the output of its step"))?,
                )
                .await?;
            hosts.push(service.host()?);
        }
        Ok(Progress::Done(hosts))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for (planned, _) in work.running().filter(|(planned, _)| planned.version_before.is_none()) {
            work.service(app, cx, planned).destroy_host().await?;
        }
        Ok(())
    }
}

/// Reports the new version to the registry, which makes it visible.
struct Switch;

#[async_trait]
impl Step<App> for Switch {
    type Output = bool;

    fn key(&self) -> StepKey<bool> {
        StepKey::new("switch")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<bool>> {
        let work = Work::of(cx)?;
        let mut served = Vec::new();
        for (planned, _) in work.running() {
            let service_url = work.service(app, cx, planned).url()?;
            served.push(ServedFeature { feature_id: planned.feature.to_string(), service_url });
        }
        report_end(app, cx, KIND, EndStackJobRequest { served, ..EndStackJobRequest::default() }).await?;
        Ok(Progress::Done(true))
    }

    /// The undo of the first step reports the end of the job.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

/// Removes the services that are no longer part of the stack, but not their data. The new version already runs, so a
/// failed removal does not fail the job: its output lists the workers that were left.
struct Cleanup;

/// Time limit of one removal. Shorter than the time limit of the step, so that a hanging provider does not fail the
/// step.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(20);

#[async_trait]
impl Step<App> for Cleanup {
    type Output = Vec<String>;

    fn key(&self) -> StepKey<Vec<String>> {
        StepKey::new("cleanup")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<String>>> {
        let (work, mut leftovers) = (Work::of(cx)?, Vec::new());
        for planned in work.removed() {
            let service = work.service(app, cx, planned);
            let removal = async {
                service.destroy_host().await?;
                service.destroy_worker().await
            };
            let outcome = tokio::time::timeout(CLEANUP_TIMEOUT, removal).await;
            match outcome.unwrap_or_else(|late| {
                Err(Error::new(Kind::Upstream, "The provider did not respond in time.").context(late))
            }) {
                Ok(()) => {}
                Err(error) if cx.will_retry(&error, Step::policy(self)) => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        feature = planned.feature.as_str(),
                        error = error.message(),
                        "could not remove a service from the provider"
                    );
                    leftovers.push(service.name(ResourceType::Worker)?);
                }
            }
        }
        Ok(Progress::Done(leftovers))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for planned in work.removed() {
            let service = work.service_before(app, cx, planned);
            service.restore_worker(planned.version_before.as_ref()).await?;
            service.restore_host(planned.version_before.as_ref()).await?;
        }
        Ok(())
    }

    fn policy(&self) -> saga::Policy {
        saga::Policy { attempts: 5, timeout: Duration::from_secs(600), ..saga::Policy::default() }
    }
}
