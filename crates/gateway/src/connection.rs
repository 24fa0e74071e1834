//! Connections to the services, in one pool per worker thread.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use actix_web::{
    dev::fn_service,
    http::Uri,
    rt::net::{ActixStream, TcpStream},
};
use awc::{Client, Connector};
use identity::tls::{HTTP1, Tls, connect_plaintext};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio_rustls::client::TlsStream;

/// Maximum idle time of a connection. It is less than the five seconds after which the services close theirs, because a
/// request on a closing connection is lost.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// Maximum age of a connection, so that the gateway notices when a service moves to another address.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Creates the client of one worker thread. It follows no redirects, decompresses nothing, and has no timeout except
/// for opening a connection.
pub(crate) fn client(connect_timeout: Duration, tls: Option<Tls>) -> Client {
    let connector = Connector::new()
        .connector(fn_service(move |info| connect(info, tls.clone())))
        .timeout(connect_timeout)
        .conn_keep_alive(MAX_IDLE)
        .conn_lifetime(MAX_AGE)
        // All services share the pool: with a limit, a slow service would starve the others. The limits on requests in
        // progress bound the pool.
        .limit(0);
    Client::builder().connector(connector).disable_timeout().disable_redirects().no_default_headers().finish()
}

async fn connect(
    info: ConnectInfo<Uri>,
    tls: Option<Tls>,
) -> Result<Connection<Uri, StrictStream>, ConnectError> {
    let stream = match tls {
        None => connect_plaintext(info.hostname(), info.port()).await.map(Stream::Plaintext),
        Some(tls) => tls
            .connect(info.hostname(), info.port(), HTTP1)
            .await
            .map(|stream| Stream::Encrypted(Box::new(stream))),
    };
    Ok(Connection::new(info.request().clone(), StrictStream(stream.map_err(ConnectError::Io)?)))
}

#[derive(Debug)]
enum Stream {
    Plaintext(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Self::Plaintext(stream) => Pin::new(stream),
            Self::Encrypted(stream) => Pin::new(&mut **stream),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plaintext(stream) => stream,
            Self::Encrypted(stream) => stream.get_ref().0,
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A connection on which the end of the stream is an error. `awc` accepts it as the end of a chunked body, so if a
/// service died in the middle of a response, half of the response would be forwarded as the whole.
#[derive(Debug)]
struct StrictStream(Stream);

impl AsyncRead for StrictStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, has_room) = (buf.filled().len(), buf.remaining() > 0);
        ready!(self.0.io().poll_read(cx, buf))?;
        let ended = has_room && buf.filled().len() == before;
        Poll::Ready(if ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) })
    }
}

impl AsyncWrite for StrictStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.io().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.io().poll_shutdown(cx)
    }
}

impl ActixStream for StrictStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        std::pin::pin!(self.0.socket().ready(Interest::READABLE)).poll(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        std::pin::pin!(self.0.socket().ready(Interest::WRITABLE)).poll(cx)
    }
}
