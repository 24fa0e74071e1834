//! The step that creates a pending platform owned by the caller, and makes a signed-in user its administrator. The
//! platform's id is chosen before the saga starts, so that the step can be undone even if the call's result is unknown.

use async_trait::async_trait;
use domain::{
    Grant, GrantScope, Kind, PlatformId, Result, Role,
    platform::{PlatformEvent, PlatformStatus},
};
use rpc::{
    enum_number,
    iam::{EnsureBindingRequest, RemoveBindingRequest},
    parse_response_enum,
    registry::CreatePlatformRequest,
};
use saga::{Progress, Step, StepCx, StepKey};

use super::{platform, transition};
use crate::{App, onboardings::model::OnboardingInput};

/// The prefix of the ids of signed-in users.
const USER_PREFIX: &str = "user:";

pub(crate) struct CreatePlatform;

/// The grant for the signed-in user who requested the platform. Other callers are operators and need none.
fn administrator_grant(cx: &StepCx) -> Result<Option<(String, rpc::iam::Grant)>> {
    let input: OnboardingInput = cx.input()?;
    // Bindings contain the subject of the token, without the prefix.
    let Some(subject) = input.user_id.strip_prefix(USER_PREFIX) else { return Ok(None) };
    let grant = Grant::new(Role::PlatformAdmin, GrantScope::Platform(input.platform_id))?;
    Ok(Some((subject.to_owned(), grant.into())))
}

#[async_trait]
impl Step<App> for CreatePlatform {
    type Output = PlatformId;

    fn key(&self) -> StepKey<PlatformId> {
        super::CREATE_PLATFORM
    }

    async fn run(&self, app: &App, cx: &StepCx) -> Result<Progress<PlatformId>> {
        let input: OnboardingInput = cx.input()?;
        let message = CreatePlatformRequest {
            name: input.platform_name.to_string(),
            slug: input.slug.to_string(),
            tier: enum_number(input.tier),
            owner_user_id: input.user_id,
            platform_id: input.platform_id.to_string(),
            limited: input.limited,
        };
        app.registry.call(&cx.ctx, message).await?;
        if let Some((subject, grant)) = administrator_grant(cx)? {
            let message = EnsureBindingRequest { subject, grant: Some(grant) };
            app.iam.call(&cx.ctx, message).await?;
        }
        Ok(Progress::Done(input.platform_id))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let input: OnboardingInput = cx.input()?;
        if let Some((subject, grant)) = administrator_grant(cx)? {
            let message = RemoveBindingRequest { subject, grant: Some(grant) };
            app.iam.call(&cx.ctx, message).await?;
        }
        // Moves the platform from its current status, event by event, to deleted.
        loop {
            let current = match platform(app, cx).await {
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                current => current?,
            };
            // A different platform could, however unlikely, have the same random id.
            if current.slug != input.slug.as_str() {
                return Ok(());
            }
            let event = match parse_response_enum("platform.status", current.status)? {
                PlatformStatus::Deleted => return Ok(()),
                PlatformStatus::Provisioning => PlatformEvent::Fail,
                PlatformStatus::Active => PlatformEvent::Suspend,
                _ => PlatformEvent::Delete,
            };
            transition(app, cx, event, cx.error.clone()).await?;
        }
    }
}
