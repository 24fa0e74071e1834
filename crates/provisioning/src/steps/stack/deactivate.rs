//! DEACTIVATE_STACK: removes all resources of a stack. The registry has already deleted the stack when the job begins.
//! A resource that cannot be removed stops the job until an operator retries it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{Result, job::JobType};
use rpc::registry::Resource;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey};

use super::{JobInput, Plan, begin, lock_features};
use crate::{
    App,
    steps::{feature, irreversible, registered},
};

const KIND: JobType = JobType::DeactivateStack;

pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: KIND.as_str(),
        version: 1,
        steps: vec![
            Box::new(Begin),
            Box::new(FeatureLocks),
            Box::new(Dns),
            Box::new(Workers),
            Box::new(Data),
        ],
        on_failure: OnFailure::Stop,
    }
}

/// Returns the resources of the stack that run code, or those that hold data.
async fn resources(app: &App, cx: &StepCx, running: bool) -> Result<Vec<Resource>> {
    let stack = JobInput::of(cx)?.stack_id;
    let mut matching = Vec::new();
    for resource in registered::list_registered(app, cx, &feature::platform(cx)?).await?.resources {
        if resource.stack_id == stack.as_str() && registered::type_of(&resource)?.runs_code() == running {
            matching.push(resource);
        }
    }
    Ok(matching)
}

async fn take_down(app: &App, cx: &StepCx, running: bool) -> Result<Progress<registered::Removals>> {
    let platform = feature::platform(cx)?;
    let mut removed = registered::Removals::default();
    for resource in resources(app, cx, running).await? {
        registered::remove(app, cx, &platform, resource, &mut removed).await?;
    }
    Ok(Progress::Done(removed))
}

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

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
    }
}

struct FeatureLocks;

#[async_trait]
impl Step<App> for FeatureLocks {
    type Output = BTreeSet<String>;

    fn key(&self) -> StepKey<BTreeSet<String>> {
        StepKey::new("turns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<BTreeSet<String>>> {
        let workers = resources(app, cx, true).await?;
        let features: BTreeSet<_> = workers.into_iter().map(|resource| resource.service_name).collect();
        lock_features(app, cx, features).await
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
    }
}

struct Dns;

#[async_trait]
impl Step<App> for Dns {
    type Output = registered::Removals;

    fn key(&self) -> StepKey<registered::Removals> {
        StepKey::new("dns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<registered::Removals>> {
        let (platform, stack) = (feature::platform(cx)?, JobInput::of(cx)?.stack_id);
        let mut removed = registered::Removals::default();
        for record in registered::list_registered(app, cx, &platform).await?.dns_records {
            if record.stack_id == stack.as_str() {
                registered::remove_host(app, cx, &platform, record, &mut removed).await?;
            }
        }
        Ok(Progress::Done(removed))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
    }
}

struct Workers;

#[async_trait]
impl Step<App> for Workers {
    type Output = registered::Removals;

    fn key(&self) -> StepKey<registered::Removals> {
        StepKey::new("workers")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<registered::Removals>> {
        take_down(app, cx, true).await
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
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
        if JobInput::of(cx)?.delete_data { take_down(app, cx, false).await } else { Ok(Progress::Skipped) }
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        irreversible()
    }
}
