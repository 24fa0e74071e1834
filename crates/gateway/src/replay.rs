//! A client's body that can be sent a second time, as long as it is small.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    error::PayloadError,
    web::Bytes,
};

/// The most bytes of a body that are kept for a second time.
const MAX: usize = 64 * 1024;

/// A body, and what was read of it so far.
pub(crate) struct Replay<B>(Rc<RefCell<Read<B>>>);

struct Read<B> {
    body: B,
    size: BodySize,
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl<B: MessageBody> Replay<B> {
    pub(crate) fn new(body: B) -> Self {
        let size = body.size();
        Self(Rc::new(RefCell::new(Read { body, size, pieces: Vec::new(), bytes: 0 })))
    }

    /// Whether everything that was read is still there.
    pub(crate) fn is_possible(&self) -> bool {
        self.0.borrow().bytes <= MAX
    }

    /// The body from its start. What was not read yet is read on.
    pub(crate) fn rewound(&self) -> Body<B> {
        Body { read: Rc::clone(&self.0), next: 0 }
    }
}

/// A body on its way.
pub(crate) struct Body<B> {
    read: Rc<RefCell<Read<B>>>,
    next: usize,
}

impl<B: MessageBody<Error = PayloadError> + Unpin> MessageBody for Body<B> {
    type Error = PayloadError;

    fn size(&self) -> BodySize {
        self.read.borrow().size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let shared = Rc::clone(&self.read);
        let mut read = shared.borrow_mut();
        if let Some(piece) = read.pieces.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        let polled = Pin::new(&mut read.body).poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            read.bytes = read.bytes.saturating_add(piece.len());
            if read.bytes <= MAX {
                read.pieces.push(piece.clone());
                self.next += 1;
            } else {
                read.pieces = Vec::new();
            }
        }
        polled
    }
}
