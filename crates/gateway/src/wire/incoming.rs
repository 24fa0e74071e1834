//! The incoming data of a client, message by message.

use actix_web::web::BytesMut;
use domain::Result;

use super::{
    chunks::{Chunks, Outcome},
    head::{self, Body, Head},
};

/// Size up to which an incomplete head is parsed, so that malformed data is rejected at once.
const SHORT: usize = 4096;

/// The position of the next byte.
#[derive(Debug)]
pub(super) enum Position {
    /// Before or in a head.
    Head,
    /// In a body, with this number of bytes left.
    Length(u64),
    /// In a chunked body.
    Chunks(Chunks),
    /// After a complete message, whose response is pending.
    MessageEnd,
    /// After the last message for the server, which sees the end of the stream.
    Ended,
}

/// The bytes of a client that the server has not read yet.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) buffer: BytesMut,
    pub(super) position: Position,
    /// Number of bytes of the buffer that do not contain the end of the head.
    searched: usize,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), position: Position::Head, searched: 0 }
    }

    /// Takes the head of the next message once it is complete. Skips empty lines before it.
    ///
    /// # Errors
    /// The error for the client, when the head is malformed or too large.
    pub(super) fn next_head(&mut self) -> Result<Option<Head>> {
        let empty = self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let _ = self.buffer.split_to(empty);
        if self.buffer.is_empty() {
            // An idle connection must not occupy memory.
            self.buffer = BytesMut::new();
            return Ok(None);
        }
        if !self.should_parse() {
            return Ok(None);
        }
        let head = head::take(&mut self.buffer)?;
        if let Some(head) = &head {
            self.searched = 0;
            self.position = match head.body {
                Body::None => Position::MessageEnd,
                Body::Length(length) => Position::Length(length),
                Body::Chunked => Position::Chunks(Chunks::new()),
            };
        }
        Ok(head)
    }

    /// Returns true if the head is short, may be complete, or is too long. Searches each byte only once.
    fn should_parse(&mut self) -> bool {
        let length = self.buffer.len();
        if length <= SHORT || length > head::MAX_BYTES {
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

    /// Advances in the body by a piece. Returns the number of its bytes that belong to the body and are well-formed.
    pub(super) fn advance_body(&mut self, piece: &[u8]) -> usize {
        match &mut self.position {
            Position::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= length as u64;
                if *left == 0 {
                    self.position = Position::MessageEnd;
                }
                length
            }
            Position::Chunks(chunks) => {
                let (length, outcome) = chunks.read(piece);
                match outcome {
                    Outcome::More => {}
                    Outcome::End => self.position = Position::MessageEnd,
                    Outcome::Malformed => self.position = Position::Ended,
                }
                length
            }
            Position::Head | Position::MessageEnd | Position::Ended => 0,
        }
    }
}
