//! Where things stand, as the registry tells it.

use domain::{EntityId, Error, PlatformId, Result};
use kit::{Ctx, grpc::PeerCall};
use rpc::registry::{LocateEntityRequest, registry_client::RegistryClient};

use crate::App;

/// An entity and all that it is under, nearest first; nothing for a platform as a whole.
///
/// # Errors
/// [`domain::Kind::NotFound`] when the platform or the entity is not there; [`domain::Kind::ServiceUnavailable`] when
/// the registry cannot be asked.
pub(crate) async fn locate(
    app: &App,
    ctx: &Ctx,
    platform: &PlatformId,
    entity: Option<&EntityId>,
) -> Result<Vec<EntityId>> {
    let message =
        LocateEntityRequest { platform_id: platform.to_string(), entity_id: entity.map(ToString::to_string) };
    let request = app.registry.request(ctx, PeerCall::default(), message)?;
    let client = &mut RegistryClient::new(app.registry.channel());
    let told = app.registry.answer(client.locate_entity(request).await)?;
    told.ancestors.iter().map(|id| EntityId::parse(id).map_err(Error::internal)).collect()
}
