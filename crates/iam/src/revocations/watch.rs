//! The watch of one gateway, over gRPC.

use futures_util::{Stream, StreamExt, stream};
use rpc::iam::{Forgotten, Revocation as Said, revocation};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Revocation, What};
use crate::App;

/// What comes out of a watch.
pub(crate) type Told = std::pin::Pin<Box<dyn Stream<Item = Result<Said, Status>> + Send>>;

/// Begins a watch. It ends when the gateway stops to say what it forgot, or the process stops.
///
/// # Errors
/// [`domain::Kind::ServiceUnavailable`] while it cannot be promised that all is told.
pub(crate) fn watch(app: &App, mut forgotten: Streaming<Forgotten>) -> domain::Result<Told> {
    let (id, told) = app.revocations.join()?;
    let (hub, stop) = (app.revocations.clone(), app.shutdown.clone());
    app.shutdown.spawn(async move {
        loop {
            let said = tokio::select! {
                said = forgotten.message() => said,
                () = stop.begun() => break,
            };
            match said {
                Ok(Some(Forgotten { number })) => hub.forgotten(id, number),
                Ok(None) | Err(_) => break,
            }
        }
        hub.leave(id);
    });
    // What was revoked before is not told: whoever begins has everything to forget.
    let begun = Said { number: 0, what: Some(revocation::What::Everything(true)) };
    let rest = ReceiverStream::new(told).map(|one| Ok(Said::from(one)));
    Ok(Box::pin(stream::once(async { Ok(begun) }).chain(rest)))
}

impl From<Revocation> for Said {
    fn from(told: Revocation) -> Self {
        let what = match told.what {
            What::Key(id) => revocation::What::KeyId(id.to_string()),
            What::Subject(subject) => revocation::What::Subject(subject),
        };
        Self { number: told.number, what: Some(what) }
    }
}
