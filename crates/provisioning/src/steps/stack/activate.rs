//! ACTIVATE_STACK: everything that a version of a stack is made of put in place, then shown, and only then what it does
//! not have any more taken away.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Error, HostName, Kind, Result, job::JobType, resource::ResourceType};
use rpc::registry::{EndStackJobRequest, ServedFeature};
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey, StepName};

use super::{Plan, Work, begin, end, take_turns};
use crate::{App, steps::made::Made};

const TURNS: StepKey<BTreeSet<String>> = StepKey::new("turns");
const KIND: JobType = JobType::ActivateStack;

pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: KIND.as_str(),
        version: 1,
        steps: vec![
            Box::new(Begin),
            Box::new(Turns),
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

/// Undone, which is last, it tells how the job ended.
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
        let error = Some(cx.error.clone().unwrap_or_else(|| "it was undone".to_owned()));
        end(app, cx, KIND, EndStackJobRequest { error, ..EndStackJobRequest::default() }).await
    }

    fn undo_if_not_started(&self) -> bool {
        true
    }
}

struct Turns;

#[async_trait]
impl Step<App> for Turns {
    type Output = BTreeSet<String>;

    fn key(&self) -> StepKey<BTreeSet<String>> {
        TURNS
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<BTreeSet<String>>> {
        let features: BTreeSet<_> =
            Work::of(cx)?.plan.services.iter().map(|one| one.feature.to_string()).collect();
        take_turns(app, cx, features).await
    }

    /// Turns end with the job.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

struct Shared;

#[async_trait]
impl Step<App> for Shared {
    type Output = Vec<Made>;

    fn key(&self) -> StepKey<Vec<Made>> {
        StepKey::new("shared")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<Made>>> {
        let work = Work::of(cx)?;
        let mut made = Vec::new();
        for kind in &work.plan.shared {
            let known = work.plan.existing.contains(&work.site.shared_name(*kind)?);
            made.push(work.site.ensure_shared(app, cx, *kind, known).await?);
        }
        Ok(Progress::Done(made))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for kind in &work.plan.shared {
            let name = work.site.shared_name(*kind)?;
            // Data that was there before this job is not its own to delete.
            if !work.plan.existing.contains(&name) {
                work.site.destroy(app, cx, *kind, name).await?;
            }
        }
        Ok(())
    }
}

struct Databases;

#[async_trait]
impl Step<App> for Databases {
    type Output = Vec<Made>;

    fn key(&self) -> StepKey<Vec<Made>> {
        StepKey::new("databases")
    }

    fn needs(&self) -> Option<&'static [StepName]> {
        Some(const { &[TURNS.name()] })
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<Made>>> {
        let work = Work::of(cx)?;
        let mut made = Vec::new();
        for (one, _) in work.running() {
            let service = work.service(app, cx, one);
            let known = work.plan.existing.contains(&service.name(ResourceType::D1)?);
            made.push(service.ensure_database(known).await?);
        }
        Ok(Progress::Done(made))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for (one, _) in work.running() {
            let service = work.service(app, cx, one);
            if !work.plan.existing.contains(&service.name(ResourceType::D1)?) {
                service.destroy_database().await?;
            }
        }
        Ok(())
    }
}

const WORKERS: StepKey<BTreeMap<String, Made>> = StepKey::new("workers");

/// A worker that ran before runs the new version from here on. The manifest goes on naming the old one, whole, until
/// every part of the new one is in place.
struct Workers;

#[async_trait]
impl Step<App> for Workers {
    type Output = BTreeMap<String, Made>;

    fn key(&self) -> StepKey<BTreeMap<String, Made>> {
        WORKERS
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<BTreeMap<String, Made>>> {
        let work = Work::of(cx)?;
        let mut made: BTreeMap<String, Made> = BTreeMap::new();
        for (one, version) in work.running() {
            let worker =
                work.service(app, cx, one).ensure_worker(version, one.version_before.is_some()).await?;
            made.insert(one.feature.to_string(), worker);
        }
        Ok(Progress::Done(made))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for (one, _) in work.running() {
            work.service_before(app, cx, one).restore_worker(one.version_before.as_ref()).await?;
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
        for (one, _) in work.running() {
            let service = work.service(app, cx, one);
            let worker = workers.get(one.feature.as_str()).cloned();
            service.ensure_host(worker.ok_or_else(|| Error::internal("a worker was not made"))?).await?;
            hosts.push(service.host()?);
        }
        Ok(Progress::Done(hosts))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for (one, _) in work.running().filter(|(one, _)| one.version_before.is_none()) {
            work.service(app, cx, one).destroy_host().await?;
        }
        Ok(())
    }
}

/// From here on it is the new version that is seen.
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
        for (one, _) in work.running() {
            let service_url = work.service(app, cx, one).url()?;
            served.push(ServedFeature { feature_id: one.feature.to_string(), service_url });
        }
        end(app, cx, KIND, EndStackJobRequest { served, ..EndStackJobRequest::default() }).await?;
        Ok(Progress::Done(true))
    }

    /// The first step tells how the job ended, when all is undone.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

/// What is not part of the stack any more is taken away; its data stays. The new version runs by now: what cannot be
/// taken away is left over, and told.
struct Cleanup;

/// Shorter than a step may take, so that also what hangs is only left over.
const CLEANUP: Duration = Duration::from_secs(20);

#[async_trait]
impl Step<App> for Cleanup {
    type Output = Vec<String>;

    fn key(&self) -> StepKey<Vec<String>> {
        StepKey::new("cleanup")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<Vec<String>>> {
        let (work, mut left) = (Work::of(cx)?, Vec::new());
        for one in work.leaving() {
            let service = work.service(app, cx, one);
            let take_away = async {
                service.destroy_host().await?;
                service.destroy_worker().await
            };
            let taken = tokio::time::timeout(CLEANUP, take_away).await;
            match taken
                .unwrap_or_else(|late| Err(Error::new(Kind::Upstream, "The provider hangs").context(late)))
            {
                Ok(()) => {}
                Err(error) if cx.will_retry(&error, Step::policy(self)) => return Err(error),
                Err(error) => {
                    tracing::warn!(feature = one.feature.as_str(), error = error.message(), "left over");
                    left.push(service.name(ResourceType::Worker)?);
                }
            }
        }
        Ok(Progress::Done(left))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let Some(work) = Work::to_undo(app, cx).await? else { return Ok(()) };
        for one in work.leaving() {
            let service = work.service_before(app, cx, one);
            service.restore_worker(one.version_before.as_ref()).await?;
            service.restore_host(one.version_before.as_ref()).await?;
        }
        Ok(())
    }

    fn policy(&self) -> saga::Policy {
        saga::Policy { attempts: 5, timeout: Duration::from_secs(600), ..saga::Policy::default() }
    }
}
