//! One client's connection.

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
    answer,
    exchange::{Exchange, Progress},
    incoming::{At, Incoming},
};

/// How much of what is behind a message is read while its answer is awaited.
const READ_AHEAD: usize = 64 * 1024;
const PIECE: usize = 8 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long the phases of a connection may last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the first byte of a head to its last; of the first head, from the beginning of the connection.
    pub(crate) head: Duration,
    /// Between the end of an answer and the first byte of the next request.
    pub(crate) keep_alive: Duration,
    /// From the moment that a client has closed its sending side until its answer begins.
    pub(crate) half_closed: Duration,
    /// How long what a client still sends is read after our last byte.
    pub(crate) linger: Duration,
}

/// What the timer is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The first head of the connection.
    First,
    /// The first byte of another head.
    Rest,
    /// The rest of that head.
    Head,
    /// The answer to a client that sends no more.
    Answer,
    /// The client's end of the connection.
    Linger,
}

/// A client's stream, as the HTTP server is to see it: see [`super`].
#[derive(Debug)]
pub(crate) struct Connection<S> {
    io: S,
    exchange: Rc<Exchange>,
    timeouts: Timeouts,
    incoming: Incoming,
    /// A head that is being handed over.
    head: BytesMut,
    /// What this layer has to say itself, ahead of the server.
    outgoing: BytesMut,
    /// Whether the client has closed its sending side.
    is_half_closed: bool,
    /// Whether a part of the body under way has come.
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
            wait: Wait::First,
            timer: Box::pin(sleep(timeouts.head)),
        }
    }

    /// What the handlers of its requests share with it.
    pub(crate) fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    fn wait_for(&mut self, what: Wait, within: Duration) {
        self.wait = what;
        self.timer.as_mut().reset(Instant::now() + within);
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// Reads what the client sends behind what is there already. False when it sends no more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
        self.incoming.buffer.extend_from_slice(piece.filled());
        self.is_half_closed |= piece.filled().is_empty();
        Poll::Ready(Ok(!self.is_half_closed))
    }

    /// Writes what this layer has to say.
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

    /// Answers what is no request. To the server it looks as if the client had left.
    fn refuse(&mut self, error: &Error) {
        self.outgoing.extend_from_slice(&answer::refusal(error));
        self.incoming.at = At::Cut;
    }

    /// Waits for a head, and has it handed over.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.incoming.next_head() {
                Ok(Some(head)) => {
                    let has_body = !matches!(self.incoming.at, At::End);
                    self.exchange.begin(has_body, head.waits_for_leave, head.is_last);
                    (self.head, self.has_body) = (head.bytes, false);
                    if self.is_half_closed {
                        self.wait_for(Wait::Answer, self.timeouts.half_closed);
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(error) => {
                    self.refuse(&error);
                    return Poll::Ready(Ok(()));
                }
            }
            let has_begun = !self.incoming.buffer.is_empty();
            if self.is_half_closed {
                if has_begun {
                    self.refuse(&Error::new(Kind::Validation, "The request ended within its head"));
                }
                self.incoming.at = At::Cut;
                return Poll::Ready(Ok(()));
            }
            if has_begun && self.wait == Wait::Rest {
                self.wait_for(Wait::Head, self.timeouts.head);
            }
            if self.is_late(cx) {
                if self.wait != Wait::Rest {
                    let message =
                        format!("The head did not arrive within {} s", self.timeouts.head.as_secs_f32());
                    self.refuse(&Error::new(Kind::RequestTimeout, message));
                }
                self.incoming.at = At::Cut;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// Hands a piece of a body over: of what is there already, or else as it comes.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.exchange.take_leave() && !self.has_body && self.incoming.buffer.is_empty() {
            self.outgoing.extend_from_slice(CONTINUE);
            // What cannot be written at once is by the next write or flush.
            let _ = self.poll_outgoing(cx)?;
        }
        self.exchange.register(cx);
        if self.incoming.buffer.is_empty() {
            let room = buf.initialize_unfilled_to(buf.remaining().min(PIECE));
            let mut piece = ReadBuf::new(room);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
            let came = piece.filled().len();
            if came == 0 {
                (self.is_half_closed, self.incoming.at) = (true, At::Cut);
                return Poll::Ready(Ok(()));
            }
            let taken = self.incoming.of_body(piece.filled());
            self.incoming.buffer.extend_from_slice(piece.filled().get(taken..).unwrap_or_default());
            self.has_body |= taken > 0;
            buf.advance(taken);
            return Poll::Ready(Ok(()));
        }
        let mut there = std::mem::take(&mut self.incoming.buffer);
        let piece = there.get(..buf.remaining().min(there.len())).unwrap_or_default();
        let taken = self.incoming.of_body(piece);
        buf.put_slice(&there.split_to(taken));
        self.incoming.buffer = there;
        self.has_body |= taken > 0;
        Poll::Ready(Ok(()))
    }

    /// Watches the client while its answer is awaited.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_half_closed && self.incoming.buffer.len() < READ_AHEAD {
            if !ready!(self.poll_fill(cx))? {
                self.wait_for(Wait::Answer, self.timeouts.half_closed);
            }
        }
        if self.is_half_closed && self.exchange.progress() == Progress::Awaited && self.is_late(cx) {
            // It is taken to be gone, and what it asked for is given up.
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Pending
    }

    /// Goes on to the next request when the answer before it is gone.
    fn end_exchange(&mut self, cx: &Context<'_>) {
        if self.exchange.progress() != Progress::Written {
            return;
        }
        match self.incoming.at {
            At::End if !self.exchange.is_last() => {
                self.incoming.at = At::Head;
                self.wait_for(Wait::Rest, self.timeouts.keep_alive);
            }
            At::Head | At::Cut => return,
            At::Length(_) | At::Chunks(_) | At::End => self.incoming.at = At::Cut,
        }
        cx.waker().wake_by_ref();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let had = buf.filled().len();
        while buf.filled().len() == had && buf.remaining() > 0 {
            if !this.head.is_empty() {
                let length = this.head.len().min(buf.remaining());
                buf.put_slice(&this.head.split_to(length));
                continue;
            }
            match this.incoming.at {
                At::Head => ready!(this.poll_head(cx))?,
                At::Length(_) | At::Chunks(_) => ready!(this.poll_body(cx, buf))?,
                At::End => ready!(this.poll_answer(cx))?,
                // The end of the stream, once it is said why.
                At::Cut => return this.poll_outgoing(cx),
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
            // Nothing is under way on a connection that rests.
            if this.is_half_closed || matches!(this.incoming.at, At::Head) {
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
