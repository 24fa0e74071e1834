//! gRPC stream on which one gateway watches revocations.

use futures_util::{Stream, StreamExt, stream};
use rpc::iam::{Forgotten, Revocation as RevocationMessage, revocation};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Revocation, Revoked};
use crate::App;

/// Stream of revocations to a gateway.
pub(crate) type Revocations = std::pin::Pin<Box<dyn Stream<Item = Result<RevocationMessage, Status>> + Send>>;

/// Starts a watch. It ends when the gateway closes its stream of acknowledgements, or the process stops.
///
/// # Errors
/// [`domain::Kind::ServiceUnavailable`] while this process cannot read the revocations of other processes.
pub(crate) fn watch(app: &App, mut acknowledgements: Streaming<Forgotten>) -> domain::Result<Revocations> {
    let (id, revocations) = app.revocations.subscribe()?;
    let (hub, stop) = (app.revocations.clone(), app.shutdown.clone());
    app.shutdown.spawn(async move {
        loop {
            let message = tokio::select! {
                message = acknowledgements.message() => message,
                () = stop.begun() => break,
            };
            match message {
                Ok(Some(Forgotten { number })) => hub.acknowledge(id, number),
                Ok(None) | Err(_) => break,
            }
        }
        hub.unsubscribe(id);
    });
    // The stream does not contain earlier revocations, so a new watcher has to drop its whole cache.
    let first = RevocationMessage { number: 0, what: Some(revocation::What::Everything(true)) };
    let rest = ReceiverStream::new(revocations).map(|one| Ok(RevocationMessage::from(one)));
    Ok(Box::pin(stream::once(async { Ok(first) }).chain(rest)))
}

impl From<Revocation> for RevocationMessage {
    fn from(revocation: Revocation) -> Self {
        let what = match revocation.target {
            Revoked::Key(id) => revocation::What::KeyId(id.to_string()),
            Revoked::Subject(subject) => revocation::What::Subject(subject),
        };
        Self { number: revocation.number, what: Some(what) }
    }
}
