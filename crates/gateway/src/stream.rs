//! Streaming of bodies in both directions, piece by piece and with backpressure.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest,
    body::{BodySize, MessageBody},
    dev::Payload,
    error::PayloadError,
    http::header::{self, HeaderMap},
    web::Bytes,
};
use domain::{Error, Kind, Result};
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use web::HttpSettings;

use crate::{load::Permits, wire::Exchange};

/// The client's body, shared so that it can outlive a rejection: see [`RejectionBody`].
pub(crate) type ClientBody = Rc<RefCell<Payload>>;

/// Returns the length that a message declares.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The state of a request that is being forwarded.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Start of the wait for the service; `None` while the gateway waits for the client.
    service_since: Cell<Option<Instant>>,
    /// The fault of the client's body.
    fault: RefCell<Option<Error>>,
}

impl Watch {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { service_since: Cell::new(Some(Instant::now())), fault: RefCell::default() })
    }

    /// Returns the fault of the client's body, if it ended the call.
    pub(crate) fn fault(&self) -> Option<Error> {
        self.fault.take()
    }

    /// Waits until the service has been silent for `limit` without interruption.
    pub(crate) async fn service_is_silent(&self, limit: Duration) {
        loop {
            let since = self.service_since.get();
            sleep_until(since.unwrap_or_else(Instant::now) + limit).await;
            if since.is_some() && since == self.service_since.get() {
                return;
            }
        }
    }
}

/// The client's body as sent to a service, with limits on size and time.
pub(crate) struct Upload {
    body: ClientBody,
    size: BodySize,
    sent: u64,
    max: u64,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
    watch: Rc<Watch>,
    exchange: Rc<Exchange>,
}

impl Upload {
    /// Returns the body of a request, if it has one.
    ///
    /// # Errors
    /// [`Kind::PayloadTooLarge`] when the declared length exceeds the limit.
    pub(crate) fn new(
        request: &HttpRequest,
        body: &ClientBody,
        limits: &HttpSettings,
        watch: &Rc<Watch>,
    ) -> Result<Option<Self>> {
        let max = limits.max_body_bytes as u64;
        let size = match declared_length(request.headers()) {
            Some(length) if length > max => return Err(too_large(max)),
            Some(0) => return Ok(None),
            Some(length) => BodySize::Sized(length),
            None if request.headers().contains_key(header::TRANSFER_ENCODING) => BodySize::Stream,
            None => return Ok(None),
        };
        let timeout = limits.body_timeout;
        let (body, watch, deadline) = (Rc::clone(body), Rc::clone(watch), Box::pin(sleep(timeout)));
        let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
        Ok(Some(Self { body, size, sent: 0, max, timeout, deadline, watch, exchange }))
    }

    fn end_with(&self, fault: Error) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.watch.fault.replace(Some(fault));
        Poll::Ready(Some(Err(PayloadError::Incomplete(None))))
    }
}

fn too_large(max: u64) -> Error {
    Error::new(Kind::PayloadTooLarge, format!("The body is larger than {max} bytes.")).with("maxBytes", max)
}

impl MessageBody for Upload {
    type Error = PayloadError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let this = self.get_mut();
        this.exchange.request_body();
        loop {
            let polled = Pin::new(&mut *this.body.borrow_mut()).poll_next(cx);
            this.watch.service_since.set(polled.is_ready().then(Instant::now));
            match polled {
                // An empty piece would be mistaken for the end of the body.
                Poll::Ready(Some(Ok(piece))) if piece.is_empty() => {}
                Poll::Ready(Some(Ok(piece))) => {
                    this.sent += piece.len() as u64;
                    if this.sent > this.max {
                        return this.end_with(too_large(this.max));
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Poll::Ready(Some(Err(cause))) => {
                    return this.end_with(
                        Error::invalid("", "The body is malformed or ended too early.").context(cause),
                    );
                }
                Poll::Ready(None) => {
                    this.exchange.finish_body();
                    return Poll::Ready(None);
                }
                Poll::Pending if this.deadline.as_mut().poll(cx).is_ready() => {
                    let message = format!("The body did not arrive within {} s.", this.timeout.as_secs_f32());
                    return this.end_with(Error::new(Kind::RequestTimeout, message));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A service's body as sent to the client. If the service is silent for `silence`, the client's connection is closed,
/// because its response has already begun.
pub(crate) struct Download {
    payload: Payload,
    size: BodySize,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    /// The permits of the request, which are returned after the response has been sent.
    _permits: Option<Permits>,
}

impl Download {
    /// Returns the body of a response.
    pub(crate) fn from_response(headers: &HeaderMap, payload: Payload, silence: Duration) -> Self {
        let size = match declared_length(headers) {
            Some(length) => BodySize::Sized(length),
            None if matches!(payload, Payload::None) => BodySize::Sized(0),
            None => BodySize::Stream,
        };
        Self::new(payload, size, silence)
    }

    /// Returns the empty body of a response to `HEAD`, whose declared length is that of the response to `GET`.
    pub(crate) fn for_head(headers: &HeaderMap) -> Self {
        let size = declared_length(headers).map_or(BodySize::None, BodySize::Sized);
        Self::new(Payload::None, size, Duration::ZERO)
    }

    /// Returns an empty body, regardless of the declared length.
    pub(crate) fn none() -> Self {
        Self::new(Payload::None, BodySize::None, Duration::ZERO)
    }

    fn new(payload: Payload, size: BodySize, silence: Duration) -> Self {
        Self { payload, size, silence, timer: Box::pin(sleep(silence)), waiting: false, _permits: None }
    }

    /// Keeps the permits of the request until the body has been sent.
    pub(crate) fn holding(self, permits: Permits) -> Self {
        Self { _permits: Some(permits), ..self }
    }
}

impl MessageBody for Download {
    type Error = PayloadError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let this = self.get_mut();
        loop {
            match Pin::new(&mut this.payload).poll_next(cx) {
                // An empty piece would be mistaken for the end of the body.
                Poll::Ready(Some(Ok(piece))) if piece.is_empty() => {}
                Poll::Ready(piece) => {
                    this.waiting = false;
                    return Poll::Ready(piece);
                }
                Poll::Pending => {
                    // The timer runs only during waits for the service, not for the client.
                    if !this.waiting {
                        this.waiting = true;
                        this.timer.as_mut().reset(Instant::now() + this.silence);
                    }
                    let silent = || PayloadError::Io(std::io::ErrorKind::TimedOut.into());
                    return this.timer.as_mut().poll(cx).map(|()| Some(Err(silent())));
                }
            }
        }
    }
}

/// The body of a rejection. It keeps the client's unread body: if that were dropped, the server would read a chunked
/// body to its end, however long, before it closed the connection.
pub(crate) struct RejectionBody {
    text: Bytes,
    _unread: ClientBody,
}

impl RejectionBody {
    pub(crate) fn new(text: Bytes, unread: ClientBody) -> Self {
        Self { text, _unread: unread }
    }
}

impl MessageBody for RejectionBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.text.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let text = std::mem::take(&mut self.get_mut().text);
        Poll::Ready((!text.is_empty()).then_some(Ok(text)))
    }
}
