//! The head of a request: whether the server can read it, and what its framing says.

use actix_web::{http::Uri, web::BytesMut};
use domain::{Error, Kind, Result};

/// The longest head that is read. The limits of the settings are below it, and are told with a request id that the
/// handlers know.
pub(super) const MOST_BYTES: usize = 128 * 1024;
/// What the server can take: of headers, and of a target.
const MOST_HEADERS: usize = 96;
const MOST_TARGET_BYTES: usize = 65_534;
const MOST_NAME_BYTES: usize = 32 * 1024;
const CONTINUE: &str = "100-continue";

/// What is after the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Length(u64),
    Chunked,
}

/// A head that the server can read.
#[derive(Debug)]
pub(super) struct Head {
    /// As it is handed over.
    pub(super) bytes: BytesMut,
    pub(super) body: Body,
    pub(super) waits_for_leave: bool,
    /// Whether the connection ends with this request.
    pub(super) is_last: bool,
}

/// What the headers say that matters here.
#[derive(Debug, Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
    waits_for_leave: bool,
    /// Whether something of them is not for the server.
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
    Error::new(Kind::UriTooLong, format!("Path and query are longer than {MOST_TARGET_BYTES} bytes"))
        .with("maxBytes", MOST_TARGET_BYTES)
}

fn too_large() -> Error {
    let message = format!("There are more than {MOST_HEADERS} headers, or {MOST_BYTES} bytes of them");
    Error::new(Kind::HeadersTooLarge, message).with("maxHeaders", MOST_HEADERS).with("maxBytes", MOST_BYTES)
}

/// Takes a head from the beginning of `buffer`; none if it is not whole yet.
///
/// # Errors
/// What the client is told, when it cannot be read.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Head>> {
    let is_too_large = buffer.len() > MOST_BYTES;
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) if length <= MOST_BYTES => length,
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
    if target.len() > MOST_TARGET_BYTES {
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
    let waits_for_leave = fields.waits_for_leave && body != Body::None;
    let changed = fields.is_changed.then(|| rewritten(method, target, version, parsed.headers));
    let whole = buffer.split_to(length);
    Ok(Some(Head { bytes: changed.unwrap_or(whole), body, waits_for_leave, is_last }))
}

fn items(value: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(value).unwrap_or_default().split(',').map(str::trim)
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>], version: u8) -> Result<Self> {
        let mut fields = Self::default();
        for header in headers {
            if header.name.len() > MOST_NAME_BYTES {
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

    /// HTTP/1.0 does not know what is expected of it.
    fn expect(&mut self, value: &[u8], version: u8) -> Result<()> {
        self.is_changed = true;
        if version == 0 {
            return Ok(());
        }
        if !items(value).all(|item| item.eq_ignore_ascii_case(CONTINUE)) {
            let message = "The only expectation that can be met is 100-continue";
            return Err(Error::new(Kind::ExpectationFailed, message));
        }
        self.waits_for_leave = true;
        Ok(())
    }

    /// Refuses what two readers could read as two different requests.
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

/// The head without what is between the client and this layer: what it expects, and to what it offers to upgrade.
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
            let kept: Vec<&str> =
                items(header.value).filter(|option| !option.eq_ignore_ascii_case("upgrade")).collect();
            head.extend_from_slice(kept.join(", ").as_bytes());
        } else {
            head.extend_from_slice(header.value);
        }
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
