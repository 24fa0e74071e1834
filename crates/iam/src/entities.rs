//! Locations of entities, which the registry knows.

use domain::{EntityId, Error, PlatformId, Result, platform::PlatformStatus};
use identity::Ctx;
use rpc::{parse_response_enum, registry::LocateEntityRequest};

use crate::App;

/// Location of an entity, or of a platform as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Location {
    /// The entity and its ancestors, nearest first; empty for a platform as a whole.
    pub(crate) path: Vec<EntityId>,
    /// True if the platform is suspended.
    pub(crate) is_suspended: bool,
}

/// Queries the registry for the location of an entity, or of a platform.
///
/// # Errors
/// [`domain::Kind::NotFound`] if the platform or the entity does not exist; [`domain::Kind::ServiceUnavailable`] if the
/// registry cannot be reached.
pub(crate) async fn locate(
    app: &App,
    ctx: &Ctx,
    platform: &PlatformId,
    entity: Option<&EntityId>,
) -> Result<Location> {
    let message =
        LocateEntityRequest { platform_id: platform.to_string(), entity_id: entity.map(ToString::to_string) };
    let response = app.registry.call(ctx, message).await?;
    let path = response.ancestors.iter().map(|id| EntityId::parse(id).map_err(Error::internal));
    let status: PlatformStatus = parse_response_enum("platform_status", response.platform_status)?;
    Ok(Location { path: path.collect::<Result<_>>()?, is_suspended: status == PlatformStatus::Suspended })
}
