//! Where things stand, as the registry tells it.

use domain::{EntityId, Error, PlatformId, Result, platform::PlatformStatus};
use identity::Ctx;
use rpc::{parse_response_enum, registry::LocateEntityRequest};

use crate::App;

/// The place of an entity, or of a platform as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Location {
    /// The entity and its ancestors, nearest first; empty for a platform as a whole.
    pub(crate) line: Vec<EntityId>,
    /// Whether the platform is suspended.
    pub(crate) suspended: bool,
}

/// Asks the registry for the place of an entity, or of a platform.
///
/// # Errors
/// [`domain::Kind::NotFound`] when the platform or the entity is not there; [`domain::Kind::ServiceUnavailable`] when
/// the registry cannot be asked.
pub(crate) async fn locate(
    app: &App,
    ctx: &Ctx,
    platform: &PlatformId,
    entity: Option<&EntityId>,
) -> Result<Location> {
    let message =
        LocateEntityRequest { platform_id: platform.to_string(), entity_id: entity.map(ToString::to_string) };
    let answer = app.registry.call(ctx, message).await?;
    let line = answer.ancestors.iter().map(|id| EntityId::parse(id).map_err(Error::internal));
    let status: PlatformStatus = parse_response_enum("platform_status", answer.platform_status)?;
    Ok(Location { line: line.collect::<Result<_>>()?, suspended: status == PlatformStatus::Suspended })
}
