//! Parsing of the framing of a chunked body.

/// The next expected element of a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The first digit of the size, which is required.
    FirstDigit,
    Digit,
    /// White space after the size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer line, or of the empty line that ends the trailer.
    Line,
    Trailer,
    TrailerLf,
    LastLf,
}

/// The result of reading a piece of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    More,
    End,
    Malformed,
}

/// The parser of a chunked body. The HTTP server's own decoder accepts everything that this parser accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunks {
    next: Next,
    size: u64,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { next: Next::FirstDigit, size: 0 }
    }

    /// Reads a piece. Returns the number of its bytes that belong to the body and are well-formed, and the result.
    pub(super) fn read(&mut self, piece: &[u8]) -> (usize, Outcome) {
        let mut at = 0;
        while let Some(byte) = piece.get(at) {
            if self.next == Next::Data {
                let left = (piece.len() - at) as u64;
                let skipped = self.size.min(left);
                self.size -= skipped;
                at += usize::try_from(skipped).unwrap_or(usize::MAX);
                if self.size == 0 {
                    self.next = Next::DataCr;
                }
                continue;
            }
            if self.next == Next::LastLf && *byte == b'\n' {
                return (at + 1, Outcome::End);
            }
            match self.step(*byte) {
                Some(next) => self.next = next,
                None => return (at, Outcome::Malformed),
            }
            at += 1;
        }
        (at, Outcome::More)
    }

    /// Returns the state after a byte outside the data; `None` if the byte is not allowed.
    fn step(&mut self, byte: u8) -> Option<Next> {
        let next = match (self.next, byte) {
            (Next::FirstDigit | Next::Digit, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                self.size = self.size.checked_mul(16)?.checked_add(digit.into())?;
                Next::Digit
            }
            (Next::Digit | Next::Space, b' ' | b'\t') => Next::Space,
            (Next::Digit | Next::Space, b';') => Next::Extension,
            (Next::Digit | Next::Space | Next::Extension, b'\r') => Next::SizeLf,
            (Next::Extension, byte) if byte == b'\t' || !byte.is_ascii_control() => Next::Extension,
            (Next::SizeLf, b'\n') if self.size == 0 => Next::Line,
            (Next::SizeLf, b'\n') => Next::Data,
            (Next::DataCr, b'\r') => Next::DataLf,
            (Next::DataLf, b'\n') => Next::FirstDigit,
            (Next::Line, b'\r') => Next::LastLf,
            (Next::Trailer, b'\r') => Next::TrailerLf,
            (Next::Line | Next::Trailer, byte) if byte == b'\t' || !byte.is_ascii_control() => Next::Trailer,
            (Next::TrailerLf, b'\n') => Next::Line,
            _ => return None,
        };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> (usize, Outcome) {
        let whole = Chunks::new().read(body);
        // The result must be the same byte by byte.
        let (mut chunks, mut at) = (Chunks::new(), 0);
        let single = loop {
            let Some(byte) = body.get(at) else { break (at, Outcome::More) };
            let (used, outcome) = chunks.read(&[*byte]);
            at += used;
            if outcome != Outcome::More {
                break (at, outcome);
            }
        };
        assert_eq!(whole, single, "{}", String::from_utf8_lossy(body));
        whole
    }

    #[test]
    fn body_ends_after_its_trailer() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"2\r\n{}\r\n0\r\n\r\n",
            b"2 ;a=\"b\"\r\n{}\r\n00\r\nA: b\r\nC: d\r\n\r\n",
            b"A\t\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        ] {
            let mut more = body.to_vec();
            more.extend_from_slice(b"GET /");
            assert_eq!(read(&more), (body.len(), Outcome::End), "{}", String::from_utf8_lossy(body));
            let half = &body[..body.len() - 1];
            assert_eq!(read(half), (half.len(), Outcome::More));
        }
    }

    #[test]
    fn malformed_framing_is_found_at_its_byte() {
        for (body, at) in [
            (&b"\r\n"[..], 0),
            (b"0x2\r\n", 1),
            (b"-1\r\n", 0),
            (b"2\n{}", 1),
            (b"2 2\r\n", 2),
            (b"2;a\x00", 3),
            (b"2;a\n", 3),
            (b"10000000000000000\r\n", 16),
            (b"2\r\n{}0\r\n", 5),
            (b"2\r\n{}\n", 5),
            (b"0\r\nA: b\n\r\n", 7),
            (b"0\r\n\rx", 4),
        ] {
            assert_eq!(read(body), (at, Outcome::Malformed), "{}", String::from_utf8_lossy(body));
        }
    }
}
