//! DEACTIVATE_STACK: everything that a stack has taken down. The registry has it no longer when this begins. What cannot
//! be taken down stops the job there, for someone to retry.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{Result, job::JobType};
use rpc::registry::Resource;
use saga::{Definition, OnFailure, Progress, Step, StepCx, StepKey};

use super::{Asked, Plan, begin, take_turns};
use crate::{
    App,
    steps::{feature, made, no_way_back},
};

const KIND: JobType = JobType::DeactivateStack;

pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: KIND.as_str(),
        version: 1,
        steps: vec![Box::new(Begin), Box::new(Turns), Box::new(Dns), Box::new(Workers), Box::new(Data)],
        on_failure: OnFailure::Stop,
    }
}

/// The resources of the stack, those that run or those that keep data.
async fn resources(app: &App, cx: &StepCx, that_run: bool) -> Result<Vec<Resource>> {
    let stack = Asked::of(cx)?.stack_id;
    let mut found = Vec::new();
    for one in made::platform_things(app, cx, &feature::platform(cx)?).await?.resources {
        if one.stack_id == stack.as_str() && made::type_of(&one)?.runs_code() == that_run {
            found.push(one);
        }
    }
    Ok(found)
}

async fn take_down(app: &App, cx: &StepCx, that_run: bool) -> Result<Progress<made::Removed>> {
    let platform = feature::platform(cx)?;
    let mut removed = made::Removed::default();
    for one in resources(app, cx, that_run).await? {
        made::remove(app, cx, &platform, one, &mut removed).await?;
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
        no_way_back()
    }
}

struct Turns;

#[async_trait]
impl Step<App> for Turns {
    type Output = BTreeSet<String>;

    fn key(&self) -> StepKey<BTreeSet<String>> {
        StepKey::new("turns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<BTreeSet<String>>> {
        let running = resources(app, cx, true).await?;
        let features: BTreeSet<_> = running.into_iter().map(|one| one.service_name).collect();
        take_turns(app, cx, features).await
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

struct Dns;

#[async_trait]
impl Step<App> for Dns {
    type Output = made::Removed;

    fn key(&self) -> StepKey<made::Removed> {
        StepKey::new("dns")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<made::Removed>> {
        let (platform, stack) = (feature::platform(cx)?, Asked::of(cx)?.stack_id);
        let mut removed = made::Removed::default();
        for record in made::platform_things(app, cx, &platform).await?.dns_records {
            if record.stack_id == stack.as_str() {
                made::remove_host(app, cx, &platform, record, &mut removed).await?;
            }
        }
        Ok(Progress::Done(removed))
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}

struct Workers;

#[async_trait]
impl Step<App> for Workers {
    type Output = made::Removed;

    fn key(&self) -> StepKey<made::Removed> {
        StepKey::new("workers")
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<made::Removed>> {
        take_down(app, cx, true).await
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
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
        if Asked::of(cx)?.delete_data { take_down(app, cx, false).await } else { Ok(Progress::Skipped) }
    }

    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        no_way_back()
    }
}
