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

#[cfg(test)]
mod tests {
    use actix_web::{
        App, HttpResponse,
        body::{SizedStream, to_bytes},
        middleware::from_fn,
        test,
    };
    use futures_util::stream;

    use super::*;

    #[actix_web::test]
    async fn head_has_the_headers_of_get_and_makes_no_body() {
        let endless = || stream::pending::<Result<Bytes, std::io::Error>>();
        let app = App::new()
            .route("/short", web::get().to(async || "hello"))
            .route(
                "/sized",
                web::get().to(move || async move { HttpResponse::Ok().body(SizedStream::new(9, endless())) }),
            )
            .route("/endless", web::get().to(move || async move { HttpResponse::Ok().streaming(endless()) }))
            .route("/write", web::post().to(async || "done"))
            .wrap(from_fn(as_get));
        let app = test::init_service(app).await;
        for (path, status, size) in [
            ("/short", 200, BodySize::Sized(5)),
            ("/sized", 200, BodySize::Sized(9)),
            ("/endless", 200, BodySize::Stream),
            ("/write", 404, BodySize::Sized(0)),
        ] {
            let request = test::TestRequest::default().method(Method::HEAD).uri(path).to_request();
            let answer = test::call_service(&app, request).await;
            assert_eq!((answer.status().as_u16(), answer.response().body().size()), (status, size), "{path}");
            assert_eq!(to_bytes(answer.into_body()).await.unwrap(), "", "{path}");
        }
    }
}
