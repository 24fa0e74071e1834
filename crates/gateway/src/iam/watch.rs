//! The stream of revocations from iam.

use std::{convert::Infallible, sync::Arc};

use domain::{Error, Result, id};
use identity::Ctx;
use rpc::{
    iam::{Forgotten, revocation::What},
    watch,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::client::{CachedResponses, Client};
use crate::NAME;

/// Maximum number of acknowledgements in flight.
const MAX_ACKNOWLEDGEMENTS: usize = 64;

/// Receives revocations, and reconnects whenever a stream is lost.
pub(super) async fn watch_forever(client: Arc<Client>) {
    let lost = |cause: &Error| {
        let had_begun = client.cache().is_some();
        client.set_cache(None);
        if had_begun {
            tracing::warn!(
                cause = cause.log_context(),
                "lost the revocation stream of iam; cleared the cache"
            );
        } else {
            tracing::debug!(cause = cause.log_context(), "cannot open the revocation stream of iam yet");
        }
        had_begun
    };
    watch::watch_forever(|| watch(&client), lost).await;
}

/// Receives revocations until the stream is lost.
async fn watch(client: &Client) -> Result<Infallible> {
    let (acknowledge, acknowledged) = mpsc::channel::<Forgotten>(MAX_ACKNOWLEDGEMENTS);
    let ctx = Ctx::for_service(NAME, id::uuid_v7().to_string());
    let mut revocations = client.iam.stream(&ctx, ReceiverStream::new(acknowledged)).await?;
    watch::next("iam", &mut revocations).await?;
    let cache = Arc::new(CachedResponses::new());
    client.set_cache(Some(Arc::clone(&cache)));
    tracing::info!("opened the revocation stream of iam");
    loop {
        let revocation = watch::next("iam", &mut revocations).await?;
        remove(&cache, revocation.what);
        let number = revocation.number;
        acknowledge
            .send(Forgotten { number })
            .await
            .map_err(|error| Error::service_unavailable("iam", error))?;
    }
}

/// Removes the revoked responses from the cache, and all responses if the revocation is not understood.
fn remove(cache: &CachedResponses, what: Option<What>) {
    match what {
        Some(What::KeyId(id)) => match Uuid::try_parse(&id) {
            Ok(id) => cache.keys.remove(|key| key.id == id),
            Err(_) => cache.keys.remove(|_| true),
        },
        Some(What::Subject(subject)) => cache.people.remove(|person| *person == subject),
        Some(What::Everything(_)) | None => {
            cache.keys.remove(|_| true);
            cache.people.remove(|_| true);
        }
    }
}
