//! Connections that are accepted under TLS.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;

use super::Tls;

/// How long a client may take to show who it is.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How many may be about it at a time; the others wait to be accepted.
const MOST_HANDSHAKES: usize = 256;
/// How long accepting rests when the process has no more files to open, say.
const REST: Duration = Duration::from_millis(100);

impl Tls {
    /// The connections on which a client was believed, for as long as they are taken. Nobody waits for the handshake
    /// of another.
    pub fn incoming(
        &self,
        listener: TcpListener,
        protocol: &[u8],
    ) -> ReceiverStream<io::Result<TlsStream<TcpStream>>> {
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config(&[protocol])));
        let (believed, taken) = mpsc::channel(1);
        tokio::spawn(accept(listener, acceptor, believed));
        ReceiverStream::new(taken)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    believed: mpsc::Sender<io::Result<TlsStream<TcpStream>>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            () = believed.closed() => return,
            accepted = listener.accept(), if handshakes.len() < MOST_HANDSHAKES => match accepted {
                Ok((stream, _)) => {
                    let (acceptor, believed) = (acceptor.clone(), believed.clone());
                    handshakes.spawn(async move {
                        if let Some(stream) = handshake(stream, &acceptor).await {
                            // It fails when the server has ended, as do all from then on.
                            let _ = believed.send(Ok(stream)).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            },
            Some(_) = handshakes.join_next() => {}
        }
    }
}

/// Who is not believed is not answered: what went wrong is in the log.
async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    let peer = stream.peer_addr().ok();
    let _ = stream.set_nodelay(true);
    let cause = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "no handshake in time".to_owned(),
    };
    tracing::warn!(?peer, cause, "not believed");
    None
}
