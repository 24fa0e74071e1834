//! How much a template is in use, which the registry knows.

use domain::{Error, Result, Version};
use identity::Ctx;
use rpc::{
    Client,
    registry::{TemplateUsageRequest, TemplateUsageResponse},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// How much a template is in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TemplateUsage {
    /// The versions that any stack runs, by precedence, highest first.
    data: Vec<VersionUsage>,
    /// How many versions that are.
    total: usize,
    /// Stacks that run any of them.
    stacks: u64,
    /// Platforms that those belong to.
    platforms: u64,
}

/// How much one version is in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionUsage {
    version: Version,
    /// Stacks that run it.
    stacks: u64,
    /// Platforms that those belong to.
    platforms: u64,
}

/// Asks the registry. Never called with a connection in hand.
///
/// # Errors
/// [`domain::Kind::ServiceUnavailable`] when the registry cannot be asked.
pub(super) async fn ask(
    registry: &Client<rpc::Registry>,
    ctx: &Ctx,
    template: Uuid,
) -> Result<TemplateUsage> {
    let message = TemplateUsageRequest { template_id: template.to_string() };
    let answer = registry.call(ctx, message).await;
    let told = answer.map_err(|error| {
        if error.kind().is_transient() {
            Error::unavailable("The registry", error.log_context())
        } else {
            Error::internal(error.message()).context(error.log_context())
        }
    })?;
    read(told)
}

fn read(told: TemplateUsageResponse) -> Result<TemplateUsage> {
    let row = |one: rpc::registry::VersionUsage| {
        let version =
            rpc::parse("version", &one.version).map_err(|error| Error::internal(error.message()))?;
        Ok(VersionUsage { version, stacks: one.stacks, platforms: one.platforms })
    };
    let mut data = told.versions.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    data.sort_by(|a, b| b.version.cmp(&a.version));
    let stacks = data.iter().map(|one| one.stacks).sum();
    Ok(TemplateUsage { total: data.len(), stacks, platforms: told.platforms, data })
}
