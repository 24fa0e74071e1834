//! Asking the stack registry for a template.

use domain::{Error, Kind, Name, Result};
use kit::{
    Ctx,
    grpc::{Peer, PeerCall},
};
use rpc::stack_registry::{GetTemplateRequest, stack_registry_client::StackRegistryClient};
use serde::Deserialize;

use super::model::{NamedFeature, Pinned};

/// What the registry reads of a definition.
#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    features: Vec<NamedFeature>,
}

/// The newest active version of a template, by the template's id or name. Never called with a connection in hand.
///
/// # Errors
/// [`Kind::TemplateUnavailable`] when the template is unknown or deprecated or has no active version,
/// [`Kind::ServiceUnavailable`] when the stack registry cannot be asked.
pub(super) async fn newest_version(stack_registry: &Peer, ctx: &Ctx, template: &Name) -> Result<Pinned> {
    let message = GetTemplateRequest { template: template.to_string() };
    let request = stack_registry.request(ctx, PeerCall::default(), message)?;
    let answer = StackRegistryClient::new(stack_registry.channel()).get_template(request).await;
    let told = stack_registry.answer(answer).map_err(|error| match error.kind() {
        Kind::NotFound | Kind::Validation => {
            unavailable(template, "is not known").context(error.log_context())
        }
        kind if kind.is_transient() => Error::unavailable("The stack registry", error.log_context()),
        _ => Error::internal(error.message()).context(error.log_context()),
    })?;
    let found = rpc::required("template", told.template)?;
    if found.status != "active" {
        return Err(unavailable(template, "is deprecated"));
    }
    let version = told.latest_version.ok_or_else(|| unavailable(template, "has no active version"))?;
    let definition: Definition = serde_json::from_str(&version.stack_definition).map_err(Error::internal)?;
    Ok(Pinned { id: found.id, name: found.name, version: version.version, features: definition.features })
}

fn unavailable(template: &Name, why: &str) -> Error {
    Error::new(Kind::TemplateUnavailable, format!("The template '{template}' {why}"))
        .with("template", template)
}
