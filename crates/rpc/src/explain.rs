//! Explanations by another service why an object is not ready.
//!
//! A service may call the next one for its explanation. Outer calls have longer deadlines than inner ones, so that the
//! explanation names the service that did not respond and not the ones that waited for it.

use std::time::Duration;

use domain::{Error, Kind, Result, explain::Explanation};
use identity::Ctx;

use crate::{
    Client, Onboarding, PeerCall, Provisioning, Registry, Service, common,
    onboarding::ExplainPlatformRequest, provisioning::ExplainJobRequest, registry::ExplainStackRequest,
};

/// Returns the explanation of a job by provisioning, or `None` if the job does not exist.
pub async fn job(provisioning: &Client<Provisioning>, ctx: &Ctx, id: &str) -> Option<Explanation> {
    let request = ExplainJobRequest { job_id: id.to_owned() };
    let response = provisioning.call_with(ctx, deadline(2), request).await;
    unpack(provisioning, response.map(|response| response.explanation))
}

/// Returns the explanation of a stack by the registry, which includes its job, or `None` if the stack does not exist.
pub async fn stack(registry: &Client<Registry>, ctx: &Ctx, platform: &str, id: &str) -> Option<Explanation> {
    let request = ExplainStackRequest { platform_id: platform.to_owned(), stack_id: id.to_owned() };
    let response = registry.call_with(ctx, deadline(3), request).await;
    unpack(registry, response.map(|response| response.explanation))
}

/// Returns the explanation of the onboarding that created a platform, or `None` if there was none.
pub async fn platform(onboarding: &Client<Onboarding>, ctx: &Ctx, id: &str) -> Option<Explanation> {
    let request = ExplainPlatformRequest { platform_id: id.to_owned() };
    let response = onboarding.call_with(ctx, deadline(4), request).await;
    unpack(onboarding, response.map(|response| response.explanation))
}

fn deadline(seconds: u64) -> PeerCall<'static> {
    PeerCall { deadline: Some(Duration::from_secs(seconds)), ..PeerCall::default() }
}

fn unpack<S: Service>(
    service: &Client<S>,
    response: Result<Option<common::Explanation>>,
) -> Option<Explanation> {
    let name = service.peer().name();
    let explanation = response.and_then(|explanation| {
        explanation.ok_or_else(|| Error::internal(format!("{name} returned no explanation")))
    });
    match explanation {
        Ok(explanation) => Some(explanation.into()),
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(error) => Some(Explanation::unanswered(name, &error)),
    }
}
