//! `HEAD` requests, which are handled as `GET` without the body.

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

/// Returns a route for `GET` and `HEAD`. The server omits the body of a response to `HEAD`.
pub fn read_route() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Marks a request whose original method was `HEAD`.
struct OriginallyHead;

/// Returns the original method of a request.
pub(super) fn method(request: &HttpRequest) -> Method {
    let is_head = request.extensions().get::<OriginallyHead>().is_some();
    if is_head { Method::HEAD } else { request.method().clone() }
}

/// The middleware that passes `HEAD` requests to the handlers of `GET`, so that both require the same access. Streamed
/// bodies are not produced.
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
    request.extensions_mut().insert(OriginallyHead);
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| EitherBody::right(NoBody(body.size()))))
}

/// The omitted body, with the size of the original one.
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
    async fn head_has_the_headers_of_get_and_no_body() {
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
            let response = test::call_service(&app, request).await;
            assert_eq!(
                (response.status().as_u16(), response.response().body().size()),
                (status, size),
                "{path}"
            );
            assert_eq!(to_bytes(response.into_body()).await.unwrap(), "", "{path}");
        }
    }
}
