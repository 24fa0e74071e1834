//! Usage of a template, which the registry knows.

use domain::{Error, Result, Version};
use identity::Ctx;
use rpc::{
    Client,
    registry::{TemplateUsageRequest, TemplateUsageResponse},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Usage of a template.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TemplateUsage {
    /// Versions that stacks run, by precedence, highest first.
    data: Vec<VersionUsage>,
    /// Number of these versions.
    total: usize,
    /// Number of stacks that run any of them.
    stacks: u64,
    /// Number of platforms of these stacks.
    platforms: u64,
}

/// Usage of one version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionUsage {
    version: Version,
    /// Number of stacks that run the version.
    stacks: u64,
    /// Number of platforms of these stacks.
    platforms: u64,
}

/// Loads the usage from the registry. Must not be called while holding a database connection.
///
/// # Errors
/// [`domain::Kind::ServiceUnavailable`] if the registry cannot be reached.
pub(super) async fn load(
    registry: &Client<rpc::Registry>,
    ctx: &Ctx,
    template: Uuid,
) -> Result<TemplateUsage> {
    let message = TemplateUsageRequest { template_id: template.to_string() };
    let response = registry.call(ctx, message).await;
    let response = response.map_err(|error| {
        if error.kind().is_transient() {
            Error::unavailable("The registry", error.log_context())
        } else {
            Error::internal(error.message()).context(error.log_context())
        }
    })?;
    read(response)
}

fn read(response: TemplateUsageResponse) -> Result<TemplateUsage> {
    let row = |one: rpc::registry::VersionUsage| {
        let version =
            rpc::parse("version", &one.version).map_err(|error| Error::internal(error.message()))?;
        Ok(VersionUsage { version, stacks: one.stacks, platforms: one.platforms })
    };
    let mut data = response.versions.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    data.sort_by(|a, b| b.version.cmp(&a.version));
    let stacks = data.iter().map(|one| one.stacks).sum();
    Ok(TemplateUsage { total: data.len(), stacks, platforms: response.platforms, data })
}
