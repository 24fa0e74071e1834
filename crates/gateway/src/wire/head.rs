//! Parsing of request heads and their framing.

use actix_web::{http::Uri, web::BytesMut};
use domain::{Error, Kind, Result};

/// Maximum size of a head. The limits of the settings are lower; the handlers enforce them, with the client's request
/// id.
pub(super) const MAX_BYTES: usize = 128 * 1024;
/// The limits of the HTTP server: the number of headers, and the size of a target and of a header name.
const MAX_HEADERS: usize = 96;
const MAX_TARGET_BYTES: usize = 65_534;
const MAX_NAME_BYTES: usize = 32 * 1024;
const CONTINUE: &str = "100-continue";

/// The body that follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Length(u64),
    Chunked,
}

/// A well-formed head.
#[derive(Debug)]
pub(super) struct Head {
    /// The bytes for the server.
    pub(super) bytes: BytesMut,
    pub(super) body: Body,
    pub(super) expects_continue: bool,
    /// True if the connection ends after this request.
    pub(super) is_last: bool,
}

/// The headers that determine the framing and the connection.
#[derive(Debug, Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
    expects_continue: bool,
    /// True if some headers must not reach the server.
    is_changed: bool,
}

fn malformed(why: &'static str) -> Error {
    Error::new(
        Kind::Validation,
        "The request is not valid HTTP/1.1. Send a well-formed one on a new connection.",
    )
    .context(why)
}

fn too_long() -> Error {
    Error::new(Kind::UriTooLong, format!("The path and query are longer than {MAX_TARGET_BYTES} bytes."))
        .with("maxBytes", MAX_TARGET_BYTES)
}

fn too_large() -> Error {
    let message = format!(
        "The request has more than {MAX_HEADERS} headers, or more than {MAX_BYTES} bytes of headers."
    );
    Error::new(Kind::HeadersTooLarge, message).with("maxHeaders", MAX_HEADERS).with("maxBytes", MAX_BYTES)
}

/// Takes a head from the start of `buffer`; `None` if it is not complete yet.
///
/// # Errors
/// The error for the client, when the head is malformed or too large.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Head>> {
    let is_too_large = buffer.len() > MAX_BYTES;
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_BYTES => length,
        Ok(_) if is_too_large => {
            return Err(if buffer.contains(&b'\n') { too_large() } else { too_long() });
        }
        Ok(_) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(cause) => return Err(malformed("the head").context(cause)),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(malformed("the first line"));
    };
    if target.len() > MAX_TARGET_BYTES {
        return Err(too_long());
    }
    Uri::try_from(target).map_err(|cause| malformed("the target").context(cause))?;
    let fields = Fields::read(parsed.headers, version)?;
    fields.check(method, version)?;
    let body = match fields.length {
        _ if fields.is_chunked => Body::Chunked,
        None | Some(0) => Body::None,
        Some(length) => Body::Length(length),
    };
    let is_last = fields.closes || (version == 0 && !fields.keeps_alive) || method == "CONNECT";
    let expects_continue = fields.expects_continue && body != Body::None;
    let changed = fields.is_changed.then(|| rewritten(method, target, version, parsed.headers));
    let whole = buffer.split_to(length);
    Ok(Some(Head { bytes: changed.unwrap_or(whole), body, expects_continue, is_last }))
}

fn items(value: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(value).unwrap_or_default().split(',').map(str::trim)
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>], version: u8) -> Result<Self> {
        let mut fields = Self::default();
        for header in headers {
            if header.name.len() > MAX_NAME_BYTES {
                return Err(too_large());
            }
            match header.name {
                name if name.eq_ignore_ascii_case("host") => fields.hosts += 1,
                name if name.eq_ignore_ascii_case("content-length") => fields.length(header.value)?,
                name if name.eq_ignore_ascii_case("transfer-encoding") => {
                    let is_known = header.value.eq_ignore_ascii_case(b"chunked") && version == 1;
                    if fields.is_chunked || !is_known {
                        return Err(malformed("Transfer-Encoding"));
                    }
                    fields.is_chunked = true;
                }
                name if name.eq_ignore_ascii_case("connection") => fields.connection(header.value),
                name if name.eq_ignore_ascii_case("expect") => fields.expect(header.value, version)?,
                name if name.eq_ignore_ascii_case("upgrade") => fields.is_changed = true,
                _ => {}
            }
        }
        Ok(fields)
    }

    fn length(&mut self, value: &[u8]) -> Result<()> {
        let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
        let length = digits.and_then(|digits| digits.parse().ok());
        if self.length.is_some() || length.is_none() {
            return Err(malformed("Content-Length"));
        }
        self.length = length;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in items(value) {
            self.closes |= option.eq_ignore_ascii_case("close");
            self.keeps_alive |= option.eq_ignore_ascii_case("keep-alive");
            self.is_changed |= option.eq_ignore_ascii_case("upgrade");
        }
    }

    /// Handles `Expect`, which HTTP/1.0 does not define.
    fn expect(&mut self, value: &[u8], version: u8) -> Result<()> {
        self.is_changed = true;
        if version == 0 {
            return Ok(());
        }
        if !items(value).all(|item| item.eq_ignore_ascii_case(CONTINUE)) {
            let message = "The Expect header must be '100-continue'.";
            return Err(Error::new(Kind::ExpectationFailed, message));
        }
        self.expects_continue = true;
        Ok(())
    }

    /// Rejects ambiguous heads, which two servers could interpret differently.
    fn check(&self, method: &str, version: u8) -> Result<()> {
        if self.is_chunked && self.length.is_some() {
            return Err(malformed("Content-Length and Transfer-Encoding"));
        }
        if self.hosts > 1 || (self.hosts == 0 && version == 1) {
            return Err(malformed("Host"));
        }
        if version == 0 && method == "POST" && self.length.is_none() {
            return Err(malformed("a POST of HTTP/1.0 without Content-Length"));
        }
        Ok(())
    }
}

/// Returns the head without the `Expect` and `Upgrade` headers, which this layer handles itself.
fn rewritten(method: &str, target: &str, version: u8, headers: &[httparse::Header<'_>]) -> BytesMut {
    let mut head = BytesMut::from(format!("{method} {target} HTTP/1.{version}\r\n").as_bytes());
    for header in headers {
        let name = header.name;
        if name.eq_ignore_ascii_case("expect") || name.eq_ignore_ascii_case("upgrade") {
            continue;
        }
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        if name.eq_ignore_ascii_case("connection") {
            let options: Vec<&str> =
                items(header.value).filter(|option| !option.eq_ignore_ascii_case("upgrade")).collect();
            head.extend_from_slice(options.join(", ").as_bytes());
        } else {
            head.extend_from_slice(header.value);
        }
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
