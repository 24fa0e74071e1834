//! What an onboarding does: five steps, each undone by itself.

mod create_platform;
mod deploy_services;
mod provision_infra;
mod setup_repo;
mod verify;

use domain::{Error, Result, platform::PlatformEvent};
use rpc::registry::{GetPlatformRequest, Platform, TransitionPlatformRequest};
use saga::{Definition, OnFailure, Outline, StepCx};

use crate::App;

/// The step that all others need.
pub(crate) const CREATE_PLATFORM: &str = "create_platform";
/// The step that waits for a job of provisioning.
pub(crate) const PROVISION_INFRA: &str = "provision_infra";
/// The step that makes a stack, and undone waits until it is taken down.
pub(crate) const DEPLOY_SERVICES: &str = "deploy_services";
/// The step that waits for the stack to run.
pub(crate) const VERIFY: &str = "verify";

/// The outlines of all sagas of this service.
pub fn outlines() -> Vec<Outline> {
    definitions().iter().map(Definition::outline).collect()
}

/// The definitions of every version that may still run.
pub(crate) fn definitions() -> Vec<Definition<App>> {
    vec![definition()]
}

/// The saga of an onboarding.
pub(crate) fn definition() -> Definition<App> {
    Definition {
        kind: "onboarding",
        version: 1,
        steps: vec![
            Box::new(create_platform::CreatePlatform),
            Box::new(provision_infra::ProvisionInfra),
            Box::new(setup_repo::SetupRepo),
            Box::new(deploy_services::DeployServices),
            Box::new(verify::Verify),
        ],
        on_failure: OnFailure::Undo,
    }
}

/// Makes an event happen to the platform; one that has happened already is left as it is.
async fn transition(
    app: &App,
    cx: &StepCx,
    event: PlatformEvent,
    reason: Option<String>,
) -> Result<Platform> {
    let message =
        TransitionPlatformRequest { platform_id: cx.subject.clone(), event: event.to_string(), reason };
    let answer = app.registry.call(&cx.ctx, message).await;
    answer?.platform.ok_or_else(|| Error::internal("the registry gave no platform"))
}

/// The platform as it is now, deleted or not.
async fn platform(app: &App, cx: &StepCx) -> Result<Platform> {
    let answer = app.registry.call(&cx.ctx, GetPlatformRequest { platform_id: cx.subject.clone() }).await;
    answer?.platform.ok_or_else(|| Error::internal("the registry gave no platform"))
}
