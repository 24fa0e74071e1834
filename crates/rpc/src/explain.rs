//! Asking another service why something is not ready.
//!
//! A service that is asked may ask the next one. Whoever asks further out waits longer, so that it is the one that does
//! not answer who is named, and not those before it.

use std::time::Duration;

use crate::{Peer, PeerCall};
use domain::{Error, Kind, Result, explain::Explanation};
use identity::Ctx;
use tonic::{Response, Status};

use crate::{
    common,
    onboarding::{ExplainPlatformRequest, onboarding_client::OnboardingClient},
    provisioning::{ExplainJobRequest, provisioning_client::ProvisioningClient},
    registry::{ExplainStackRequest, registry_client::RegistryClient},
};

/// What provisioning says of a job; nothing of one that it does not know.
pub async fn job(provisioning: &Peer, ctx: &Ctx, id: &str) -> Option<Explanation> {
    let asked = async {
        let message = ExplainJobRequest { job_id: id.to_owned() };
        let request = provisioning.request(ctx, within(2), message)?;
        let answer = ProvisioningClient::new(provisioning.channel()).explain_job(request).await;
        told(provisioning, answer, |said| said.explanation)
    };
    known(provisioning, asked.await)
}

/// What the registry says of a stack, and provisioning of its job; nothing of one that the registry does not know.
pub async fn stack(registry: &Peer, ctx: &Ctx, platform: &str, id: &str) -> Option<Explanation> {
    let asked = async {
        let message = ExplainStackRequest { platform_id: platform.to_owned(), stack_id: id.to_owned() };
        let request = registry.request(ctx, within(3), message)?;
        let answer = RegistryClient::new(registry.channel()).explain_stack(request).await;
        told(registry, answer, |said| said.explanation)
    };
    known(registry, asked.await)
}

/// What onboarding says of the onboarding that a platform came from; nothing if it knows of none.
pub async fn platform(onboarding: &Peer, ctx: &Ctx, id: &str) -> Option<Explanation> {
    let asked = async {
        let message = ExplainPlatformRequest { platform_id: id.to_owned() };
        let request = onboarding.request(ctx, within(4), message)?;
        let answer = OnboardingClient::new(onboarding.channel()).explain_platform(request).await;
        told(onboarding, answer, |said| said.explanation)
    };
    known(onboarding, asked.await)
}

fn within(seconds: u64) -> PeerCall<'static> {
    PeerCall { deadline: Some(Duration::from_secs(seconds)), ..PeerCall::default() }
}

fn told<T>(
    peer: &Peer,
    answer: std::result::Result<Response<T>, Status>,
    explanation: impl Fn(T) -> Option<common::Explanation>,
) -> Result<Explanation> {
    let said = explanation(peer.answer(answer)?);
    said.map(Explanation::from).ok_or_else(|| Error::internal(format!("{} explained nothing", peer.name())))
}

fn known(peer: &Peer, told: Result<Explanation>) -> Option<Explanation> {
    match told {
        Ok(said) => Some(said),
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(error) => Some(Explanation::unanswered(peer.name(), &error)),
    }
}
