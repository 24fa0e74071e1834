//! Bodies on their way through: never whole, one piece at a time, and no faster than they are taken.

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

/// The client's body. It is shared so that it can outlive a refusal: see [`Refusal`].
pub(crate) type ClientBody = Rc<RefCell<Payload>>;

/// The length that a message announces.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// What is known of a request that is being passed on.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Since when the service alone is waited for; none while it is the client that is waited for.
    service_since: Cell<Option<Instant>>,
    /// What was wrong with the client's body.
    fault: RefCell<Option<Error>>,
}

impl Watch {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { service_since: Cell::new(Some(Instant::now())), fault: RefCell::default() })
    }

    /// What was wrong with the client's body, if that is what ended the call.
    pub(crate) fn fault(&self) -> Option<Error> {
        self.fault.take()
    }

    /// Ends when the service has been waited for, without a break, as long as `limit`.
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

/// The client's body on its way to a service, within the limits of size and time.
pub(crate) struct Upload {
    body: ClientBody,
    size: BodySize,
    passed: u64,
    max: u64,
    within: Duration,
    deadline: Pin<Box<Sleep>>,
    watch: Rc<Watch>,
    exchange: Rc<Exchange>,
}

impl Upload {
    /// The body of a request, if it has one.
    ///
    /// # Errors
    /// [`Kind::PayloadTooLarge`] when it announces more than may pass.
    pub(crate) fn of(
        request: &HttpRequest,
        body: &ClientBody,
        limits: &HttpSettings,
        watch: &Rc<Watch>,
    ) -> Result<Option<Self>> {
        let max = limits.max_body_bytes as u64;
        let size = match announced(request.headers()) {
            Some(length) if length > max => return Err(too_large(max)),
            Some(0) => return Ok(None),
            Some(length) => BodySize::Sized(length),
            None if request.headers().contains_key(header::TRANSFER_ENCODING) => BodySize::Stream,
            None => return Ok(None),
        };
        let within = limits.body_timeout;
        let (body, watch, deadline) = (Rc::clone(body), Rc::clone(watch), Box::pin(sleep(within)));
        let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
        Ok(Some(Self { body, size, passed: 0, max, within, deadline, watch, exchange }))
    }

    fn end_with(&self, fault: Error) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.watch.fault.replace(Some(fault));
        Poll::Ready(Some(Err(PayloadError::Incomplete(None))))
    }
}

fn too_large(max: u64) -> Error {
    Error::new(Kind::PayloadTooLarge, format!("The body is larger than {max} bytes")).with("maxBytes", max)
}

impl MessageBody for Upload {
    type Error = PayloadError;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let this = self.get_mut();
        this.exchange.wants_body();
        loop {
            let polled = Pin::new(&mut *this.body.borrow_mut()).poll_next(cx);
            this.watch.service_since.set(polled.is_ready().then(Instant::now));
            match polled {
                // An empty piece would be taken for the last one.
                Poll::Ready(Some(Ok(piece))) if piece.is_empty() => {}
                Poll::Ready(Some(Ok(piece))) => {
                    this.passed += piece.len() as u64;
                    if this.passed > this.max {
                        return this.end_with(too_large(this.max));
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Poll::Ready(Some(Err(cause))) => {
                    return this.end_with(
                        Error::invalid("", "The body is broken or ended too early").context(cause),
                    );
                }
                Poll::Ready(None) => {
                    this.exchange.has_read_body();
                    return Poll::Ready(None);
                }
                Poll::Pending if this.deadline.as_mut().poll(cx).is_ready() => {
                    let message = format!("The body did not arrive within {} s", this.within.as_secs_f32());
                    return this.end_with(Error::new(Kind::RequestTimeout, message));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// A service's body on its way to the client. A service that falls silent for `silence` is given up: the client's
/// connection is cut, because its answer has begun.
pub(crate) struct Download {
    payload: Payload,
    size: BodySize,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    /// The places of the request: they are free again when its answer is gone.
    _held: Option<Permits>,
}

impl Download {
    /// The body of an answer.
    pub(crate) fn of(headers: &HeaderMap, payload: Payload, silence: Duration) -> Self {
        let size = match announced(headers) {
            Some(length) => BodySize::Sized(length),
            None if matches!(payload, Payload::None) => BodySize::Sized(0),
            None => BodySize::Stream,
        };
        Self::new(payload, size, silence)
    }

    /// No body, of an answer to `HEAD`: the length it announces is that of another answer.
    pub(crate) fn of_head(headers: &HeaderMap) -> Self {
        let size = announced(headers).map_or(BodySize::None, BodySize::Sized);
        Self::new(Payload::None, size, Duration::ZERO)
    }

    /// No body, whatever is announced.
    pub(crate) fn none() -> Self {
        Self::new(Payload::None, BodySize::None, Duration::ZERO)
    }

    fn new(payload: Payload, size: BodySize, silence: Duration) -> Self {
        Self { payload, size, silence, timer: Box::pin(sleep(silence)), waiting: false, _held: None }
    }

    /// The same, holding on to the places of the request.
    pub(crate) fn holding(self, held: Permits) -> Self {
        Self { _held: Some(held), ..self }
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
                // An empty piece would be taken for the last one.
                Poll::Ready(Some(Ok(piece))) if piece.is_empty() => {}
                Poll::Ready(piece) => {
                    this.waiting = false;
                    return Poll::Ready(piece);
                }
                Poll::Pending => {
                    // The clock runs while the service is waited for, not while the client takes its time.
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

/// The body of a refusal. It holds on to what the client still sends: were that let go of, a chunked body would be
/// read to its end, however long, before the connection could be closed.
pub(crate) struct Refusal {
    text: Bytes,
    _unread: ClientBody,
}

impl Refusal {
    pub(crate) fn new(text: Bytes, unread: ClientBody) -> Self {
        Self { text, _unread: unread }
    }
}

impl MessageBody for Refusal {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.text.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let text = std::mem::take(&mut self.get_mut().text);
        Poll::Ready((!text.is_empty()).then_some(Ok(text)))
    }
}
