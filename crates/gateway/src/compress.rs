//! Compression of responses, where the client accepts it.

use actix_http::encoding::Encoder;
use actix_web::{
    Error as ActixError, HttpMessage,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header, HeaderMap, HeaderValue},
    middleware::Next,
};

/// Smaller bodies fit into one packet as they are.
const MIN_BYTES: u64 = 1024;
/// Media types of text. Not `text/event-stream`: an encoder would hold events back.
const TEXT: [&str; 6] = [
    "application/json",
    "application/problem+json",
    "text/html",
    "text/css",
    "text/javascript",
    "text/plain",
];

/// Compresses the bodies of responses that are text and not small.
///
/// The ETag stays the same, because clients send it back in `If-Match`; `Vary` keeps the encodings apart in caches.
pub(crate) async fn compress<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Encoder<B>>, ActixError> {
    let mut response = next.call(request).await?;
    let mut encoding = ContentEncoding::Identity;
    if is_compressible(response.headers(), response.response().body().size()) {
        match accepted(response.request()) {
            // The encoder adds Vary.
            Some(accepted) => {
                encoding = accepted;
                response.headers_mut().remove(header::CONTENT_LENGTH);
            }
            None => {
                response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
            }
        }
    }
    Ok(response.map_body(|head, body| Encoder::response(encoding, head, body)))
}

/// The best encoding that the client accepts, if it accepts any.
fn accepted(request: &impl HttpMessage) -> Option<ContentEncoding> {
    negotiate(request, &[Encoding::zstd(), Encoding::gzip(), Encoding::identity()])
}

/// True if the client accepts gzip and does not prefer a response that is not compressed.
pub(crate) fn accepts_gzip(request: &impl HttpMessage) -> bool {
    negotiate(request, &[Encoding::gzip(), Encoding::identity()]).is_some()
}

fn negotiate(request: &impl HttpMessage, supported: &[Encoding]) -> Option<ContentEncoding> {
    if !request.headers().contains_key(header::ACCEPT_ENCODING) {
        return None;
    }
    match AcceptEncoding::parse(request).ok()?.negotiate(supported.iter())? {
        Encoding::Known(ContentEncoding::Identity) | Encoding::Unknown(_) => None,
        Encoding::Known(encoding) => Some(encoding),
    }
}

fn is_compressible(headers: &HeaderMap, size: BodySize) -> bool {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = match size {
        BodySize::None => return false,
        BodySize::Sized(bytes) => Some(bytes),
        BodySize::Stream => announced,
    };
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    bytes.is_none_or(|bytes| bytes >= MIN_BYTES)
        && TEXT.iter().any(|text| kind.eq_ignore_ascii_case(text))
        && !headers.contains_key(header::CONTENT_ENCODING)
}
