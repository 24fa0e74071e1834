//! Asking another service why something is not ready.
//!
//! A service that is asked may ask the next one. Whoever asks further out waits longer, so that it is the one that does
//! not answer who is named, and not those before it.

use std::time::Duration;

use domain::{Error, Kind, Result, explain::Explanation};
use identity::Ctx;

use crate::{
    Client, Onboarding, PeerCall, Provisioning, Registry, Service, common,
    onboarding::ExplainPlatformRequest, provisioning::ExplainJobRequest, registry::ExplainStackRequest,
};

/// What provisioning says of a job; nothing of one that it does not know.
pub async fn job(provisioning: &Client<Provisioning>, ctx: &Ctx, id: &str) -> Option<Explanation> {
    let request = ExplainJobRequest { job_id: id.to_owned() };
    let answer = provisioning.call_with(ctx, within(2), request).await;
    known(provisioning, answer.map(|answer| answer.explanation))
}

/// What the registry says of a stack, and provisioning of its job; nothing of one that the registry does not know.
pub async fn stack(registry: &Client<Registry>, ctx: &Ctx, platform: &str, id: &str) -> Option<Explanation> {
    let request = ExplainStackRequest { platform_id: platform.to_owned(), stack_id: id.to_owned() };
    let answer = registry.call_with(ctx, within(3), request).await;
    known(registry, answer.map(|answer| answer.explanation))
}

/// What onboarding says of the onboarding that a platform came from; nothing if it knows of none.
pub async fn platform(onboarding: &Client<Onboarding>, ctx: &Ctx, id: &str) -> Option<Explanation> {
    let request = ExplainPlatformRequest { platform_id: id.to_owned() };
    let answer = onboarding.call_with(ctx, within(4), request).await;
    known(onboarding, answer.map(|answer| answer.explanation))
}

fn within(seconds: u64) -> PeerCall<'static> {
    PeerCall { deadline: Some(Duration::from_secs(seconds)), ..PeerCall::default() }
}

fn known<S: Service>(
    service: &Client<S>,
    answer: Result<Option<common::Explanation>>,
) -> Option<Explanation> {
    let name = service.peer().name();
    let explained = answer.and_then(|explanation| {
        explanation.ok_or_else(|| Error::internal(format!("{name} explained nothing")))
    });
    match explained {
        Ok(explanation) => Some(explanation.into()),
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(error) => Some(Explanation::unanswered(name, &error)),
    }
}
