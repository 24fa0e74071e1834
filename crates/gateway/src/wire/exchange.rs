//! One request with its response, shared by the connection and the handlers.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use actix_http::{ConnectionType, Request, Response};
use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::Service,
    web::Bytes,
};

/// The progress of the response to the current request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Progress {
    #[default]
    Pending,
    Begun,
    /// The last byte is in the server's buffer.
    Written,
}

/// The state of `100 Continue` for the current request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Continue {
    #[default]
    NotExpected,
    Expected,
    Requested,
}

/// The current request of a connection. Each connection has one exchange, which is reused.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    progress: Cell<Progress>,
    continue_state: Cell<Continue>,
    /// True if a part of the request's body may be unread.
    has_unread: Cell<bool>,
    /// True if the connection ends after the current response.
    is_last: Cell<bool>,
    has_rejected_credential: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl Exchange {
    /// Begins the next request.
    pub(super) fn begin(&self, has_body: bool, expects_continue: bool, is_last: bool) {
        self.progress.set(Progress::Pending);
        let state = if expects_continue { Continue::Expected } else { Continue::NotExpected };
        self.continue_state.set(state);
        self.has_unread.set(has_body);
        self.is_last.set(is_last);
    }

    /// Requests the body. A client that expects `100 Continue` gets it.
    pub(crate) fn request_body(&self) {
        if self.continue_state.get() == Continue::Expected && self.progress.get() == Progress::Pending {
            self.continue_state.set(Continue::Requested);
            self.wake();
        }
    }

    /// Records that the body was read to its end.
    pub(crate) fn finish_body(&self) {
        self.has_unread.set(false);
    }

    /// Records that a credential on this connection was rejected.
    pub(crate) fn reject_credential(&self) {
        self.has_rejected_credential.set(true);
    }

    pub(crate) fn has_rejected_credential(&self) -> bool {
        self.has_rejected_credential.get()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.get()
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last.get()
    }

    /// Returns true once if `100 Continue` must be sent.
    pub(super) fn take_continue(&self) -> bool {
        let is_requested = self.continue_state.get() == Continue::Requested;
        if is_requested {
            self.continue_state.set(Continue::NotExpected);
        }
        is_requested
    }

    /// Registers the connection's reader to be woken by handlers.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut reader = self.reader.borrow_mut();
        if reader.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Records that the response begins. If a part of the request is unread, it stays unread, and the connection ends
    /// after the response.
    fn begin_response(&self) {
        self.progress.set(Progress::Begun);
        if self.has_unread.get() {
            self.is_last.set(true);
        }
    }
}

/// Passes a request to the application, and tracks the response to its last byte.
pub(crate) fn track<S, R, B>(
    request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<TrackedBody>, Error>> + use<S, R, B>
where
    S: Service<Request, Response = R, Error = Error>,
    R: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
    let response = service.call(request);
    async move {
        let response = match response.await {
            Ok(response) => response.into().map_into_boxed_body(),
            Err(error) => error.into(),
        };
        exchange.begin_response();
        let mut response = response.map_body(|_, body| TrackedBody { body, exchange: Rc::clone(&exchange) });
        if exchange.is_last() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        Ok(response)
    }
}

/// A body that records when it has been written.
#[derive(Debug)]
pub(crate) struct TrackedBody {
    body: BoxBody,
    exchange: Rc<Exchange>,
}

impl MessageBody for TrackedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.exchange.progress.set(Progress::Written);
    }
}
