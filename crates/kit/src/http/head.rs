//! `HEAD`: what `GET` answers, without its body.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage, HttpRequest, Route,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::Method,
    middleware::Next,
    web::{self, Bytes},
};

/// A route that answers `GET`, and `HEAD` with the same headers: the server leaves the body out.
pub fn read_route() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Marks a request that came as `HEAD`.
struct CameAsHead;

/// The method that a request came with.
pub(super) fn method(request: &HttpRequest) -> Method {
    let came_as_head = request.extensions().get::<CameAsHead>().is_some();
    if came_as_head { Method::HEAD } else { request.method().clone() }
}

/// The middleware that has every handler of `GET` answer `HEAD` too. So who may read may ask for the head, and nobody
/// else. A body that is made as it is read is not made.
///
/// # Errors
/// Those of the handler.
pub(super) async fn as_get(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<EitherBody<BoxBody, NoBody>>, Error> {
    if request.method() != Method::HEAD {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    request.head_mut().method = Method::GET;
    request.extensions_mut().insert(CameAsHead);
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, body| EitherBody::right(NoBody(body.size()))))
}

/// No body, where another of this size would be.
#[derive(Debug)]
pub(super) struct NoBody(BodySize);

impl MessageBody for NoBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}
