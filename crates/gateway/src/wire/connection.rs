//! A client's connection.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::web::BytesMut;
use domain::{Error, Kind};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    exchange::{Exchange, Progress},
    incoming::{Incoming, Position},
    rejection,
};

/// Maximum number of bytes that are read beyond a request while its response is pending.
const READ_AHEAD: usize = 64 * 1024;
/// Size of one read, in bytes.
const PIECE: usize = 8 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Time limits of the phases of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the first byte of a head to its last; for the first head, from the start of the connection.
    pub(crate) head: Duration,
    /// Between the end of a response and the first byte of the next request.
    pub(crate) keep_alive: Duration,
    /// From the moment that a client closes its sending side until its response begins.
    pub(crate) half_closed: Duration,
    /// From the last byte of the last response until the connection is closed.
    pub(crate) linger: Duration,
}

/// The event that the timer limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The first head of the connection.
    FirstHead,
    /// The first byte of the next head.
    Idle,
    /// The rest of that head.
    Head,
    /// The response to a client that has closed its sending side.
    Response,
    /// The end of the client's stream.
    Linger,
}

/// A client's stream, as presented to the HTTP server: see [`super`].
#[derive(Debug)]
pub(crate) struct Connection<S> {
    io: S,
    exchange: Rc<Exchange>,
    timeouts: Timeouts,
    incoming: Incoming,
    /// A head that the server is reading.
    head: BytesMut,
    /// Output of this layer, which is written before the server's output.
    outgoing: BytesMut,
    /// True if the client has closed its sending side.
    is_half_closed: bool,
    /// True if a part of the current body has arrived.
    has_body: bool,
    wait: Wait,
    timer: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(io: S, timeouts: Timeouts) -> Self {
        Self {
            io,
            exchange: Rc::default(),
            timeouts,
            incoming: Incoming::new(),
            head: BytesMut::new(),
            outgoing: BytesMut::new(),
            is_half_closed: false,
            has_body: false,
            wait: Wait::FirstHead,
            timer: Box::pin(sleep(timeouts.head)),
        }
    }

    /// Returns the state that the connection shares with the handlers of its requests.
    pub(crate) fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    fn wait_for(&mut self, event: Wait, timeout: Duration) {
        self.wait = event;
        self.timer.as_mut().reset(Instant::now() + timeout);
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Reads more data into the buffer. Returns false at the end of the client's stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
        self.incoming.buffer.extend_from_slice(piece.filled());
        self.is_half_closed |= piece.filled().is_empty();
        Poll::Ready(Ok(!self.is_half_closed))
    }

    /// Writes the output of this layer.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let _ = self.outgoing.split_to(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Responds to a malformed request. The server sees the end of the stream.
    fn reject(&mut self, error: &Error) {
        self.outgoing.extend_from_slice(&rejection::rejection(error));
        self.incoming.position = Position::Ended;
    }

    /// Waits for a complete head, and passes it to the server.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.incoming.next_head() {
                Ok(Some(head)) => {
                    let has_body = !matches!(self.incoming.position, Position::MessageEnd);
                    self.exchange.begin(has_body, head.expects_continue, head.is_last);
                    (self.head, self.has_body) = (head.bytes, false);
                    if self.is_half_closed {
                        self.wait_for(Wait::Response, self.timeouts.half_closed);
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(error) => {
                    self.reject(&error);
                    return Poll::Ready(Ok(()));
                }
            }
            let has_begun = !self.incoming.buffer.is_empty();
            if self.is_half_closed {
                if has_begun {
                    self.reject(&Error::new(Kind::Validation, "The request ended within its head."));
                }
                self.incoming.position = Position::Ended;
                return Poll::Ready(Ok(()));
            }
            if has_begun && self.wait == Wait::Idle {
                self.wait_for(Wait::Head, self.timeouts.head);
            }
            if self.is_late(cx) {
                if self.wait != Wait::Idle {
                    let message =
                        format!("The head did not arrive within {} s.", self.timeouts.head.as_secs_f32());
                    self.reject(&Error::new(Kind::RequestTimeout, message));
                }
                self.incoming.position = Position::Ended;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Passes a piece of a body to the server, from the buffer or else from the client.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.exchange.take_continue() && !self.has_body && self.incoming.buffer.is_empty() {
            self.outgoing.extend_from_slice(CONTINUE);
            // The next write or flush writes the rest, if any.
            let _ = self.poll_outgoing(cx)?;
        }
        self.exchange.register(cx);
        if self.incoming.buffer.is_empty() {
            let room = buf.initialize_unfilled_to(buf.remaining().min(PIECE));
            let mut piece = ReadBuf::new(room);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                (self.is_half_closed, self.incoming.position) = (true, Position::Ended);
                return Poll::Ready(Ok(()));
            }
            let length = self.incoming.advance_body(piece.filled());
            self.incoming.buffer.extend_from_slice(piece.filled().get(length..).unwrap_or_default());
            self.has_body |= length > 0;
            buf.advance(length);
            return Poll::Ready(Ok(()));
        }
        let mut buffered = std::mem::take(&mut self.incoming.buffer);
        let piece = buffered.get(..buf.remaining().min(buffered.len())).unwrap_or_default();
        let length = self.incoming.advance_body(piece);
        buf.put_slice(&buffered.split_to(length));
        self.incoming.buffer = buffered;
        self.has_body |= length > 0;
        Poll::Ready(Ok(()))
    }

    /// Reads ahead while the response is pending, and limits the wait of a client that has closed its sending side.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_half_closed && self.incoming.buffer.len() < READ_AHEAD {
            if !ready!(self.poll_fill(cx))? {
                self.wait_for(Wait::Response, self.timeouts.half_closed);
            }
        }
        if self.is_half_closed && self.exchange.progress() == Progress::Pending && self.is_late(cx) {
            // The client is considered gone, and its request is cancelled.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Pending
    }

    /// Continues with the next request once the previous response has been written.
    fn end_exchange(&mut self, cx: &Context<'_>) {
        if self.exchange.progress() != Progress::Written {
            return;
        }
        match self.incoming.position {
            Position::MessageEnd if !self.exchange.is_last() => {
                self.incoming.position = Position::Head;
                self.wait_for(Wait::Idle, self.timeouts.keep_alive);
            }
            Position::Head | Position::Ended => return,
            Position::Length(_) | Position::Chunks(_) | Position::MessageEnd => {
                self.incoming.position = Position::Ended;
            }
        }
        cx.waker().wake_by_ref();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        while buf.filled().len() == before && buf.remaining() > 0 {
            if !this.head.is_empty() {
                let length = this.head.len().min(buf.remaining());
                buf.put_slice(&this.head.split_to(length));
                continue;
            }
            match this.incoming.position {
                Position::Head => ready!(this.poll_head(cx))?,
                Position::Length(_) | Position::Chunks(_) => ready!(this.poll_body(cx, buf))?,
                Position::MessageEnd => ready!(this.poll_response(cx))?,
                // The server sees the end of the stream after the rejection, if any, has been written.
                Position::Ended => return this.poll_outgoing(cx),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.end_exchange(cx);
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.wait != Wait::Linger {
            ready!(this.poll_outgoing(cx))?;
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            // An idle connection has no unread data.
            if this.is_half_closed || matches!(this.incoming.position, Position::Head) {
                return Poll::Ready(Ok(()));
            }
            this.wait_for(Wait::Linger, this.timeouts.linger);
        }
        loop {
            if this.is_late(cx) || !ready!(this.poll_fill(cx))? {
                return Poll::Ready(Ok(()));
            }
            this.incoming.buffer.clear();
        }
    }
}
