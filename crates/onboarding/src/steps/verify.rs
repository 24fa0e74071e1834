//! The step that waits until the stack and all resources are active, then finishes the first build and activates the
//! platform.

use async_trait::async_trait;
use domain::{
    Error, Kind, Result, build::BuildStatus, deployment::StackStatus, platform::PlatformEvent,
    resource::ResourceStatus,
};
use rpc::{
    parse_response_enum,
    registry::{GetStackRequest, ListResourcesRequest, Resource},
};
use saga::{Progress, Step, StepCx, StepKey, Wait, WaitingFor};

use super::{deploy_services::finish_build, transition};
use crate::App;

pub(crate) struct Verify;

#[async_trait]
impl Step<App> for Verify {
    type Output = usize;

    fn key(&self) -> StepKey<usize> {
        super::VERIFY
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<usize>> {
        let deployed = cx.output(super::DEPLOY_SERVICES)?;
        if let Some(stack) = &deployed.stack_id
            && let Some(on) = stack_wait(app, cx, stack).await?
        {
            return Ok(Progress::Waiting(app.job_ends.wait(cx, on)));
        }
        let message = ListResourcesRequest { platform_id: cx.subject.clone() };
        let resources = app.registry.call(&cx.ctx, message).await?.resources;
        if resources.is_empty() {
            return Err(Error::new(Kind::Unprocessable, "The platform has no resources."));
        }
        let names = inactive_resources(&resources)?;
        if !names.is_empty() {
            return Ok(Progress::Waiting(Wait::new(WaitingFor::Resources { names }, cx.poll_backoff())));
        }
        finish_build(app, cx, &deployed.build_id, BuildStatus::Success).await?;
        transition(app, cx, PlatformEvent::Complete, None).await?;
        Ok(Progress::Done(resources.len()))
    }

    /// Does nothing: the undos of the earlier steps cover this one.
    async fn undo(&self, _: &App, _: &StepCx) -> Result<()> {
        Ok(())
    }
}

/// The names of the resources that are not active yet.
///
/// # Errors
/// [`Kind::Unprocessable`] if one has failed.
fn inactive_resources(resources: &[Resource]) -> Result<Vec<String>> {
    let mut inactive = Vec::new();
    for resource in resources {
        match parse_response_enum("resources.status", resource.status)? {
            ResourceStatus::Active => {}
            ResourceStatus::Failed => {
                let message = format!("The resource {} has failed.", resource.cf_name);
                return Err(Error::new(Kind::Unprocessable, message));
            }
            _ => inactive.push(resource.cf_name.clone()),
        }
    }
    Ok(inactive)
}

/// The cause of the wait for the stack, if it is not active yet.
///
/// # Errors
/// [`Kind::Unprocessable`] if it has failed.
async fn stack_wait(app: &App, cx: &StepCx, stack: &str) -> Result<Option<WaitingFor>> {
    let Some(on) = inactive(app, cx, stack).await? else { return Ok(None) };
    if !has_ended(app, cx, &on).await? {
        return Ok(Some(on));
    }
    // The job ended after the registry's response, or the stack waits for a different job. The end of a job is not
    // reported twice, so the wait must not depend on it.
    Ok(inactive(app, cx, stack).await?.map(|on| WaitingFor::text(on.to_string())))
}

/// The cause of a wait for the stack, from its current status.
async fn inactive(app: &App, cx: &StepCx, stack: &str) -> Result<Option<WaitingFor>> {
    let message = GetStackRequest { platform_id: cx.subject.clone(), stack_id: stack.to_owned() };
    let found = app.registry.call(&cx.ctx, message).await?;
    match parse_response_enum("status", found.status)? {
        StackStatus::Active => Ok(None),
        StackStatus::Failed => {
            let why = found.error.unwrap_or_default();
            Err(Error::new(Kind::Unprocessable, format!("The stack {stack} has failed: {why}")))
        }
        status => {
            let job =
                found.provision_job_id.map(|id| rpc::parse_uuid("provision_job_id", &id)).transpose()?;
            Ok(Some(WaitingFor::Stack { stack: stack.to_owned(), status: status.to_string(), job }))
        }
    }
}

async fn has_ended(app: &App, cx: &StepCx, on: &WaitingFor) -> Result<bool> {
    let Some(id) = on.job() else { return Ok(false) };
    super::job(app, cx, id).await?.as_ref().map_or(Ok(false), super::has_ended)
}
