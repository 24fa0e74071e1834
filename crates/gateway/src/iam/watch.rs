//! Hearing of what is revoked.

use std::{convert::Infallible, sync::Arc, time::Duration};

use domain::{Error, Result, id};
use identity::Ctx;
use rpc::{
    PeerCall,
    iam::{Forgotten, iam_client::IamClient, revocation::What},
};
use runtime::backoff::Backoff;
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::client::{Client, Watched};
use crate::NAME;

/// The pauses before a lost watch is begun again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// A watch has no end of its own.
const DEADLINE: Duration = Duration::from_secs(365 * 24 * 3600);
/// More acknowledgements than this are not on their way at a time.
const UNDER_WAY: usize = 64;

/// Watches, and begins again whenever a watch is lost.
pub(super) async fn forever(client: Arc<Client>) {
    let mut failures = 0u32;
    loop {
        let Err(cause) = watch(&client).await;
        let had_begun = client.watched().is_some();
        client.set_watched(None);
        if had_begun {
            failures = 0;
            tracing::warn!(cause = cause.log_context(), "iam tells of no revocations: nothing is remembered");
        } else {
            tracing::debug!(cause = cause.log_context(), "iam cannot be watched yet");
        }
        failures = failures.saturating_add(1);
        sleep(BACKOFF.pause(failures)).await;
    }
}

/// One watch, until it is lost.
async fn watch(client: &Client) -> Result<Infallible> {
    let (acknowledge, acknowledged) = mpsc::channel(UNDER_WAY);
    let ctx = Ctx::of_service(NAME, id::uuid_v7().to_string());
    let call = PeerCall { key: None, deadline: Some(DEADLINE) };
    let request = client.iam.peer().stream(&ctx, call, ReceiverStream::new(acknowledged))?;
    let mut iam = IamClient::new(client.iam.peer().channel());
    let mut told = client.iam.peer().answer(iam.watch_revocations(request).await)?;
    let lost = |cause: &dyn std::fmt::Display| Error::unavailable("iam", cause);
    let next = told.message().await.map_err(|status| lost(&status))?;
    next.ok_or_else(|| lost(&"ended before it began"))?;
    let watched = Arc::new(Watched::new());
    client.set_watched(Some(Arc::clone(&watched)));
    tracing::info!("iam tells of revocations");
    loop {
        let next = told.message().await.map_err(|status| lost(&status))?;
        let revocation = next.ok_or_else(|| lost(&"ended"))?;
        forget(&watched, revocation.what);
        let number = revocation.number;
        acknowledge.send(Forgotten { number }).await.map_err(|error| lost(&error))?;
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
