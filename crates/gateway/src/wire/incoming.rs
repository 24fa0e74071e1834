//! What a client sends, message by message.

use actix_web::web::BytesMut;
use domain::Result;

use super::{
    chunks::{Chunks, Outcome},
    head::{self, Body, Head},
};

/// A head is looked at before it is whole while it is shorter than this: nonsense is not waited for.
const SHORT: usize = 4096;

/// Where in a message the next byte is.
#[derive(Debug)]
pub(super) enum At {
    /// Before or in a head.
    Head,
    Length(u64),
    Chunks(Chunks),
    /// Behind a whole message, whose answer is awaited.
    End,
    /// Behind what is handed over at all: to the server the client is done.
    Cut,
}

/// The bytes of a client that are not handed over yet.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) buffer: BytesMut,
    pub(super) at: At,
    /// How many bytes of the buffer are known not to hold the end of the head.
    searched: usize,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), at: At::Head, searched: 0 }
    }

    /// The head of the next message, once it is whole. Empty lines before it are none of it.
    ///
    /// # Errors
    /// What the client is told, when it cannot be read.
    pub(super) fn next_head(&mut self) -> Result<Option<Head>> {
        let empty = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let _ = self.buffer.split_to(empty);
        if self.buffer.is_empty() {
            // A connection that rests holds no memory.
            self.buffer = BytesMut::new();
            return Ok(None);
        }
        if !self.is_worth_a_look() {
            return Ok(None);
        }
        let head = head::take(&mut self.buffer)?;
        if let Some(head) = &head {
            self.searched = 0;
            self.at = match head.body {
                Body::None => At::End,
                Body::Length(length) => At::Length(length),
                Body::Chunked => At::Chunks(Chunks::new()),
            };
        }
        Ok(head)
    }

    /// Whether a long head may be whole by now, or is too long. Each byte is looked at once.
    fn is_worth_a_look(&mut self) -> bool {
        let length = self.buffer.len();
        if length <= SHORT || length > head::MOST_BYTES {
            return true;
        }
        let new = self.buffer.get(self.searched.saturating_sub(2)..).unwrap_or_default();
        let has_end =
            new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|end| end == b"\n\r\n");
        if !has_end {
            self.searched = length;
        }
        has_end
    }

    /// How many bytes of a piece of a body may be handed over. What is behind them is not of this body, or broken.
    pub(super) fn of_body(&mut self, piece: &[u8]) -> usize {
        match &mut self.at {
            At::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.at = At::End;
                }
                taken
            }
            At::Chunks(chunks) => {
                let (taken, outcome) = chunks.read(piece);
                match outcome {
                    Outcome::More => {}
                    Outcome::End => self.at = At::End,
                    Outcome::Broken => self.at = At::Cut,
                }
                taken
            }
            At::Head | At::End | At::Cut => 0,
        }
    }
}
