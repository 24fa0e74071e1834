//! Incoming connections with TLS.

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

/// Time limit of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of handshakes at a time. Further connections wait to be accepted.
const MAX_HANDSHAKES: usize = 256;
/// The pause after a failed accept, such as when the process has no free file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

impl Tls {
    /// The connections whose clients presented a trusted certificate, until the stream is dropped. Handshakes run
    /// concurrently.
    pub fn incoming(
        &self,
        listener: TcpListener,
        protocol: &[u8],
    ) -> ReceiverStream<io::Result<TlsStream<TcpStream>>> {
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config(&[protocol])));
        let (trusted, receiver) = mpsc::channel(1);
        tokio::spawn(accept(listener, acceptor, trusted));
        ReceiverStream::new(receiver)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    trusted: mpsc::Sender<io::Result<TlsStream<TcpStream>>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            () = trusted.closed() => return,
            accepted = listener.accept(), if handshakes.len() < MAX_HANDSHAKES => match accepted {
                Ok((stream, _)) => {
                    let (acceptor, trusted) = (acceptor.clone(), trusted.clone());
                    handshakes.spawn(async move {
                        if let Some(stream) = handshake(stream, &acceptor).await {
                            // Sending fails only after the server has stopped.
                            let _ = trusted.send(Ok(stream)).await;
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
            Some(_) = handshakes.join_next() => {}
        }
    }
}

/// Runs a handshake. A client that is not trusted gets no response; the cause is logged.
async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    let peer = stream.peer_addr().ok();
    let _ = stream.set_nodelay(true);
    let cause = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "the handshake timed out".to_owned(),
    };
    tracing::warn!(?peer, cause, "rejected a connection");
    None
}
