//! What every request passes first and last: its id, its span, its deadline; panics and strange answers become
//! the envelope.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use actix_web::{
    Error as ActixError, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap},
    },
    middleware::Next,
    web,
};
use domain::{
    Error, Kind, id,
    masked::{is_credential, masked_path},
};
use futures_util::FutureExt;
use opentelemetry::KeyValue;
use runtime::{error::log, telemetry};
use tracing::{Instrument, field::Empty};

use super::{HttpError, HttpSettings, error};

const REQUEST_ID: &str = "x-request-id";
const MAX_REQUEST_ID: usize = 128;

struct RequestId(Arc<str>);

/// What metrics call the route of a request that no pattern of the framework matched: a handler that routes by
/// itself puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct RouteName(pub &'static str);

/// The id of the request under way.
pub fn request_id(request: &HttpRequest) -> Arc<str> {
    request.extensions().get::<RequestId>().map_or_else(|| Arc::from(""), |id| Arc::clone(&id.0))
}

/// The client's id if it is a sane token and no credential, else a new one.
fn take_request_id(request: &ServiceRequest) -> Arc<str> {
    let sane = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':'))
            && !is_credential(text)
    };
    match request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane) {
        Some(id) => Arc::from(id),
        None => Arc::from(id::uuid_v7().to_string()),
    }
}

/// The middleware that every request passes first and last. It reads its deadline from [`HttpSettings`] in the
/// application's data, if they are there.
///
/// # Errors
/// Those that stand for a whole answer, to be written as it is: when the handler panicked or took too long, its
/// request went with it, and a `ServiceResponse` cannot be made without one.
pub async fn enter<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let started = Instant::now();
    let id = take_request_id(&request);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let method = request.method().clone();
    let span = tracing::info_span!(
        "http",
        request_id = &*id,
        trace_id = Empty,
        method = known(&method),
        path = &*masked_path(request.path())
    );
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::continue_trace(&span, parent);

    let answer = async {
        let answer = guarded(request, next, &id).await;
        let status =
            answer.as_ref().map_or_else(ResponseError::status_code, ServiceResponse::status).as_u16();
        tracing::info!(target: "access", status, ms = started.elapsed().as_secs_f64() * 1000.0, "answered");
        answer
    }
    .instrument(span)
    .await;

    let (status, route) = match &answer {
        Ok(answer) => (answer.status(), route(answer.request())),
        Err(lost) => (lost.status_code(), None),
    };
    let labels = [
        KeyValue::new("http.request.method", known(&method).to_owned()),
        KeyValue::new("http.route", route.unwrap_or_else(|| "none".to_owned())),
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
    ];
    telemetry::measure("http.server.request.duration", &labels, started.elapsed());
    Ok(answer?)
}

/// Anyone may make up a method; metrics must not keep a series for each, and it may be a secret.
fn known(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if known.contains(method) { method.as_str() } else { "_OTHER" }
}

fn route(request: &HttpRequest) -> Option<String> {
    let named = request.extensions().get::<RouteName>().map(|name| name.0.to_owned());
    named.or_else(|| request.match_pattern())
}

/// The answer to a request that is no more. It could only have been kept by cloning it, and the framework panics
/// when it has to route a request that was cloned.
#[derive(Debug)]
struct Lost {
    error: Error,
    id: Arc<str>,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error.message())
    }
}

impl ResponseError for Lost {
    fn status_code(&self) -> StatusCode {
        error::status(self.error.kind())
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = error::response(&self.error, &self.id);
        stamp(answer.headers_mut(), &self.id);
        answer
    }
}

/// Runs the handler; whatever comes out is an answer.
async fn guarded<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    id: &Arc<str>,
) -> Result<ServiceResponse<BoxBody>, Lost> {
    let deadline = request.app_data::<web::Data<HttpSettings>>().map(|settings| settings.request_timeout);
    let run = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    let outcome = match deadline {
        Some(deadline) => tokio::time::timeout(deadline, run).await,
        None => Ok(run.await),
    };
    let error = match outcome {
        Ok(Ok(Ok(answer))) => return Ok(finish(answer.map_into_boxed_body(), id)),
        Ok(Ok(Err(error))) => of_error(&error),
        Ok(Err(_panic)) => Error::internal("the handler panicked"),
        Err(_elapsed) => {
            let message = "The request took too long; whether it took effect is not known";
            Error::new(Kind::GatewayTimeout, message)
        }
    };
    log(&error);
    Err(Lost { error, id: Arc::clone(id) })
}

fn refuse(request: HttpRequest, error: Error, id: &str) -> ServiceResponse<BoxBody> {
    log(&error);
    ServiceResponse::new(request, error::response(&error, id))
}

/// Writes errors as the envelope, and what every answer carries.
fn finish(answer: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let mut answer = match told(&answer) {
        Some(error) => {
            let request = answer.request().clone();
            refuse(request, error, id)
        }
        None => answer,
    };
    stamp(answer.headers_mut(), id);
    answer
}

/// Writes what every answer carries.
fn stamp(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = header::HeaderValue::from_str(id) {
        headers.insert(header::HeaderName::from_static(REQUEST_ID), value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    }
}

/// The error that an answer stands for, if it does and is not written as the envelope yet.
fn told(answer: &ServiceResponse<BoxBody>) -> Option<Error> {
    if let Some(error) = answer.response().error() {
        return Some(of_error(error));
    }
    let status = answer.status();
    let ours = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    (!ours && (status.is_client_error() || status.is_server_error())).then(|| of_status(status, &"no body"))
}

fn of_error(error: &ActixError) -> Error {
    match error.as_error::<HttpError>() {
        Some(HttpError(error)) => error.clone(),
        None => of_status(error.as_response_error().status_code(), error),
    }
}

/// What the framework itself refused.
fn of_status(status: StatusCode, cause: &dyn std::fmt::Display) -> Error {
    let error = match status {
        StatusCode::NOT_FOUND => Error::new(Kind::NotFound, "There is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => {
            Error::new(Kind::MethodNotAllowed, "The path does not take this method")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Kind::PayloadTooLarge, "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Error::new(Kind::UnsupportedMediaType, "The body must be application/json")
        }
        StatusCode::REQUEST_TIMEOUT => Error::new(Kind::RequestTimeout, "The request did not arrive in time"),
        status if status.is_client_error() => Error::new(Kind::Validation, "The request cannot be read"),
        _ => Error::internal("answered by the framework"),
    };
    error.context(cause)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::{App, body::to_bytes, middleware::from_fn, test};
    use serde_json::Value;

    use super::*;

    fn settings() -> HttpSettings {
        let short = Duration::from_millis(50);
        HttpSettings {
            bind: ([127, 0, 0, 1], 0).into(),
            workers: 1,
            max_body_bytes: 1024,
            head_timeout: short,
            body_timeout: short,
            request_timeout: short,
            drain_timeout: short,
        }
    }

    /// The answer to a GET as the server would write it: status, code of the envelope, request id.
    async fn ask(path: &str) -> (u16, Value, String) {
        let app = App::new()
            .app_data(web::Data::new(settings()))
            .route("/good/{id}", web::get().to(async |id: web::Path<String>| id.into_inner()))
            .route("/panics", web::get().to(async || -> String { panic!("on purpose") }))
            .route("/hangs", web::get().to(async || std::future::pending::<String>().await))
            .route(
                "/refuses",
                web::get().to(async || Err::<String, _>(HttpError(Error::new(Kind::Conflict, "no")))),
            )
            .wrap(from_fn(enter));
        let app = test::init_service(app).await;
        let request = test::TestRequest::get().uri(path).insert_header((REQUEST_ID, "id-1")).to_request();
        let answer = match test::try_call_service(&app, request).await {
            Ok(answer) => answer.into_parts().1,
            Err(error) => error.error_response(),
        };
        let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("cache-control"), "no-store");
        let (status, id) = (answer.status().as_u16(), header(REQUEST_ID));
        let body = to_bytes(answer.into_body()).await.unwrap();
        (
            status,
            serde_json::from_slice::<Value>(&body).map(|body| body["error"].clone()).unwrap_or_default(),
            id,
        )
    }

    #[actix_web::test]
    async fn whatever_happens_is_an_answer_with_the_requests_id() {
        for (path, status, code) in [
            ("/panics", 500, "INTERNAL_ERROR"),
            ("/hangs", 504, "GATEWAY_TIMEOUT"),
            ("/refuses", 409, "CONFLICT"),
            ("/nothing", 404, "NOT_FOUND"),
        ] {
            let (told, error, id) = ask(path).await;
            assert_eq!((told, &error["code"], id.as_str()), (status, &Value::from(code), "id-1"), "{path}");
            assert_eq!(error["requestId"], "id-1");
        }
        assert_eq!(ask("/good/1").await, (200, Value::Null, "id-1".to_owned()));
    }
}
