//! Hearing of what is revoked.

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

use super::client::{Client, Watched};
use crate::NAME;

/// More acknowledgements than this are not on their way at a time.
const UNDER_WAY: usize = 64;

/// Watches, and begins again whenever a watch is lost.
pub(super) async fn forever(client: Arc<Client>) {
    let lost = |cause: &Error| {
        let had_begun = client.watched().is_some();
        client.set_watched(None);
        if had_begun {
            tracing::warn!(cause = cause.log_context(), "iam tells of no revocations: nothing is remembered");
        } else {
            tracing::debug!(cause = cause.log_context(), "iam cannot be watched yet");
        }
        had_begun
    };
    watch::watch_forever(|| watch(&client), lost).await;
}

/// One watch, until it is lost.
async fn watch(client: &Client) -> Result<Infallible> {
    let (acknowledge, acknowledged) = mpsc::channel::<Forgotten>(UNDER_WAY);
    let ctx = Ctx::for_service(NAME, id::uuid_v7().to_string());
    let mut revocations = client.iam.stream(&ctx, ReceiverStream::new(acknowledged)).await?;
    watch::next("iam", &mut revocations).await?;
    let watched = Arc::new(Watched::new());
    client.set_watched(Some(Arc::clone(&watched)));
    tracing::info!("iam tells of revocations");
    loop {
        let revocation = watch::next("iam", &mut revocations).await?;
        forget(&watched, revocation.what);
        let number = revocation.number;
        acknowledge.send(Forgotten { number }).await.map_err(|error| Error::unavailable("iam", error))?;
    }
}

/// Forgets what is not to be believed any more; all of it, if that is not understood.
fn forget(watched: &Watched, what: Option<What>) {
    match what {
        Some(What::KeyId(id)) => match Uuid::try_parse(&id) {
            Ok(id) => watched.keys.forget(|key| key.id == id),
            Err(_) => watched.keys.forget(|_| true),
        },
        Some(What::Subject(subject)) => watched.people.forget(|person| *person == subject),
        Some(What::Everything(_)) | None => {
            watched.keys.forget(|_| true);
            watched.people.forget(|_| true);
        }
    }
}
