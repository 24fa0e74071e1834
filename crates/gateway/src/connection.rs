//! Connections to the services: one pool per worker thread.

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

/// How long an unused connection is kept: less than the five seconds after which the services close theirs, because
/// a request that meets a closing connection is lost.
const IDLE: Duration = Duration::from_secs(4);
/// How long a connection is used at all, so that a service that moved to another address is found there.
const LIFETIME: Duration = Duration::from_secs(300);

/// A client for one worker thread. It follows no redirect, unpacks nothing and has no timeout but that of making a
/// connection.
pub(crate) fn client(connect_timeout: Duration, tls: Option<Tls>) -> Client {
    let connector = Connector::new()
        .connector(fn_service(move |info| connect(info, tls.clone())))
        .timeout(connect_timeout)
        .conn_keep_alive(IDLE)
        .conn_lifetime(LIFETIME)
        // The pool is one for all services: with a limit, one that is slow would starve the others. What bounds it is
        // the number of clients.
        .limit(0);
    Client::builder().connector(connector).disable_timeout().disable_redirects().no_default_headers().finish()
}

async fn connect(info: ConnectInfo<Uri>, tls: Option<Tls>) -> Result<Connection<Uri, Whole>, ConnectError> {
    let stream = match tls {
        None => connect_plaintext(info.hostname(), info.port()).await.map(Stream::Open),
        Some(tls) => tls
            .connect(info.hostname(), info.port(), HTTP1)
            .await
            .map(|stream| Stream::Encrypted(Box::new(stream))),
    };
    Ok(Connection::new(info.request().clone(), Whole(stream.map_err(ConnectError::Io)?)))
}

#[derive(Debug)]
enum Stream {
    Open(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// As what it reads and writes.
    fn io(&mut self) -> Pin<&mut dyn Io> {
        match self {
            Self::Open(stream) => Pin::new(stream),
            Self::Encrypted(stream) => Pin::new(&mut **stream),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Open(stream) => stream,
            Self::Encrypted(stream) => stream.get_ref().0,
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A connection on which the peer's end of stream is an error. `awc` takes it for the end of a chunked body, so a
/// service that died in the middle of an answer would have its half passed on as the whole.
#[derive(Debug)]
struct Whole(Stream);

impl AsyncRead for Whole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (had, room) = (buf.filled().len(), buf.remaining() > 0);
        ready!(self.0.io().poll_read(cx, buf))?;
        let ended = room && buf.filled().len() == had;
        Poll::Ready(if ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) })
    }
}

impl AsyncWrite for Whole {
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

impl ActixStream for Whole {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        std::pin::pin!(self.0.socket().ready(Interest::READABLE)).poll(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        std::pin::pin!(self.0.socket().ready(Interest::WRITABLE)).poll(cx)
    }
}
