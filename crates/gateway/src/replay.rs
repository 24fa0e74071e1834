//! A client's body that can be sent again if it is small.

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

/// Maximum number of bytes that are stored for a repetition.
const MAX_STORED_BYTES: usize = 64 * 1024;

/// A body with the pieces read so far.
pub(crate) struct Replay<B>(Rc<RefCell<Recorded<B>>>);

struct Recorded<B> {
    body: B,
    size: BodySize,
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl<B: MessageBody> Replay<B> {
    pub(crate) fn new(body: B) -> Self {
        let size = body.size();
        Self(Rc::new(RefCell::new(Recorded { body, size, pieces: Vec::new(), bytes: 0 })))
    }

    /// Returns true if all pieces read so far are stored.
    pub(crate) fn is_possible(&self) -> bool {
        self.0.borrow().bytes <= MAX_STORED_BYTES
    }

    /// Returns the body from its start: the stored pieces, then the unread rest.
    pub(crate) fn rewound(&self) -> Body<B> {
        Body { read: Rc::clone(&self.0), next: 0 }
    }
}

/// One transmission of a body.
pub(crate) struct Body<B> {
    read: Rc<RefCell<Recorded<B>>>,
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
            if read.bytes <= MAX_STORED_BYTES {
                read.pieces.push(piece.clone());
                self.next += 1;
            } else {
                read.pieces = Vec::new();
            }
        }
        polled
    }
}
