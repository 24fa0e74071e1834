//! One request and its answer, as the connection and the handlers of the request see it.

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

/// How far the answer to the request under way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Progress {
    #[default]
    Awaited,
    Begun,
    /// Its last byte is in the server's buffer.
    Written,
}

/// Whether the client waits for leave to send its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Leave {
    #[default]
    NotAsked,
    Asked,
    Given,
}

/// The request under way on a connection; there is one of these per connection.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    progress: Cell<Progress>,
    leave: Cell<Leave>,
    /// Whether a part of the request's body may be left to read.
    has_unread: Cell<bool>,
    /// Whether the connection ends with the answer under way.
    is_last: Cell<bool>,
    has_shown_bad_credential: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl Exchange {
    /// The next request begins.
    pub(super) fn begin(&self, has_body: bool, waits_for_leave: bool, is_last: bool) {
        self.progress.set(Progress::Awaited);
        self.leave.set(if waits_for_leave { Leave::Asked } else { Leave::NotAsked });
        self.has_unread.set(has_body);
        self.is_last.set(is_last);
    }

    /// The body is about to be read: a client that waits for leave to send it gets it.
    pub(crate) fn wants_body(&self) {
        if self.leave.get() == Leave::Asked && self.progress.get() == Progress::Awaited {
            self.leave.set(Leave::Given);
            self.wake();
        }
    }

    /// The body was read to its end.
    pub(crate) fn has_read_body(&self) {
        self.has_unread.set(false);
    }

    /// A credential that was shown on this connection was refused.
    pub(crate) fn refused_credential(&self) {
        self.has_shown_bad_credential.set(true);
    }

    pub(crate) fn has_shown_bad_credential(&self) -> bool {
        self.has_shown_bad_credential.get()
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.get()
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last.get()
    }

    /// Whether leave to send was given and is still to be passed on.
    pub(super) fn take_leave(&self) -> bool {
        let is_given = self.leave.get() == Leave::Given;
        if is_given {
            self.leave.set(Leave::NotAsked);
        }
        is_given
    }

    /// Has the connection's reader woken when there is something new.
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

    /// The answer begins. What of the request is unread then stays so, and the connection ends with the answer.
    fn answer_begins(&self) {
        self.progress.set(Progress::Begun);
        if self.has_unread.get() {
            self.is_last.set(true);
        }
    }
}

/// Passes a request on to the application, and follows its answer to the last byte.
pub(crate) fn follow<S, R, B>(
    request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<Followed>, Error>> + use<S, R, B>
where
    S: Service<Request, Response = R, Error = Error>,
    R: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let exchange = request.conn_data::<Rc<Exchange>>().cloned().unwrap_or_default();
    let answer = service.call(request);
    async move {
        let answer = match answer.await {
            Ok(answer) => answer.into().map_into_boxed_body(),
            Err(error) => error.into(),
        };
        exchange.answer_begins();
        let mut answer = answer.map_body(|_, body| Followed { body, exchange: Rc::clone(&exchange) });
        if exchange.is_last() {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        Ok(answer)
    }
}

/// A body that says when it is gone.
#[derive(Debug)]
pub(crate) struct Followed {
    body: BoxBody,
    exchange: Rc<Exchange>,
}

impl MessageBody for Followed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.exchange.progress.set(Progress::Written);
    }
}
