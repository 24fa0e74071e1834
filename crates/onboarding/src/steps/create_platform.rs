//! A pending platform, owned by who asked: a person becomes its administrator. Its id was chosen with the session, so that there is always something to
//! undo by, whatever became of the call.

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
use crate::{App, sessions::model::Input};

/// How the names of signed-in people begin.
const PERSON: &str = "user:";

pub(crate) struct CreatePlatform;

/// What the person gets who asked for the platform; operators have it anyway.
fn administration(cx: &StepCx) -> Result<Option<(String, rpc::iam::Grant)>> {
    let input: Input = cx.input()?;
    // Bindings name people as their issuers do.
    let Some(subject) = input.user_id.strip_prefix(PERSON) else { return Ok(None) };
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
        let input: Input = cx.input()?;
        let message = CreatePlatformRequest {
            name: input.platform_name.to_string(),
            slug: input.slug.to_string(),
            tier: enum_number(input.tier),
            owner_user_id: input.user_id,
            platform_id: input.platform_id.to_string(),
            limited: input.limited,
        };
        app.registry.call(&cx.ctx, message).await?;
        if let Some((subject, grant)) = administration(cx)? {
            let message = EnsureBindingRequest { subject, grant: Some(grant) };
            app.iam.call(&cx.ctx, message).await?;
        }
        Ok(Progress::Done(input.platform_id))
    }

    async fn undo(&self, app: &App, cx: &StepCx) -> Result<()> {
        let input: Input = cx.input()?;
        if let Some((subject, grant)) = administration(cx)? {
            let message = RemoveBindingRequest { subject, grant: Some(grant) };
            app.iam.call(&cx.ctx, message).await?;
        }
        // From wherever the platform got to, event by event, to deleted.
        loop {
            let now = match platform(app, cx).await {
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                now => now?,
            };
            // Never another one's platform, however unlikely that it has the same random id.
            if now.slug != input.slug.as_str() {
                return Ok(());
            }
            let event = match parse_response_enum("platform.status", now.status)? {
                PlatformStatus::Deleted => return Ok(()),
                PlatformStatus::Provisioning => PlatformEvent::Fail,
                PlatformStatus::Active => PlatformEvent::Suspend,
                _ => PlatformEvent::Delete,
            };
            transition(app, cx, event, cx.error.clone()).await?;
        }
    }
}
