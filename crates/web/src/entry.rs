//! The outermost middleware: request id, span, deadline and metrics. It turns panics and errors of the framework into
//! the error envelope.

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

/// The route name in metrics, for a handler that does its own routing. Such a handler puts it into the request's
/// extensions.
#[derive(Debug, Clone, Copy)]
pub struct RouteName(pub &'static str);

/// Returns the id of a request.
pub fn request_id(request: &HttpRequest) -> Arc<str> {
    request.extensions().get::<RequestId>().map_or_else(|| Arc::from(""), |id| Arc::clone(&id.0))
}

/// Returns the client's request id if it is a well-formed token and not a credential, otherwise a new id.
fn choose_request_id(request: &ServiceRequest) -> Arc<str> {
    let is_acceptable = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':'))
            && !is_credential(text)
    };
    match request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_acceptable) {
        Some(id) => Arc::from(id),
        None => Arc::from(id::uuid_v7().to_string()),
    }
}

/// The outermost middleware. It takes the deadline from [`HttpSettings`] in the application data, if present.
///
/// # Errors
/// When the handler panicked or exceeded the deadline. The request is lost then, and a `ServiceResponse` cannot be
/// built without one, so the error contains the complete response.
pub async fn enter<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let started = Instant::now();
    let id = choose_request_id(&request);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let method = request.method().clone();
    let span = tracing::info_span!(
        "http",
        request_id = &*id,
        trace_id = Empty,
        method = method_label(&method),
        path = &*masked_path(request.path())
    );
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::continue_trace(&span, parent);

    let response = async {
        let response = guarded(request, next, &id).await;
        let status =
            response.as_ref().map_or_else(ResponseError::status_code, ServiceResponse::status).as_u16();
        tracing::info!(target: "access", status, ms = started.elapsed().as_secs_f64() * 1000.0, "answered");
        response
    }
    .instrument(span)
    .await;

    let (status, route) = match &response {
        Ok(response) => (response.status(), route(response.request())),
        Err(lost) => (lost.status_code(), None),
    };
    let labels = [
        KeyValue::new("http.request.method", method_label(&method).to_owned()),
        KeyValue::new("http.route", route.unwrap_or_else(|| "none".to_owned())),
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
    ];
    telemetry::measure("http.server.request.duration", &labels, started.elapsed());
    Ok(response?)
}

/// Returns the name of a standard method, or `_OTHER`. Clients can invent methods: metrics must not keep a series for
/// each, and the text may be a secret.
fn method_label(method: &Method) -> &str {
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

/// The response to a request that the handler consumed. A clone of the request is not possible, because the framework
/// panics when it routes a cloned request.
#[derive(Debug)]
struct LostRequest {
    error: Error,
    id: Arc<str>,
}

impl std::fmt::Display for LostRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error.message())
    }
}

impl ResponseError for LostRequest {
    fn status_code(&self) -> StatusCode {
        error::status(self.error.kind())
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = error::response(&self.error, &self.id);
        add_common_headers(response.headers_mut(), &self.id);
        response
    }
}

/// Runs the handler, and turns a panic, an error or a timeout into a response.
async fn guarded<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    id: &Arc<str>,
) -> Result<ServiceResponse<BoxBody>, LostRequest> {
    let deadline = request.app_data::<web::Data<HttpSettings>>().map(|settings| settings.request_timeout);
    let run = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind();
    let outcome = match deadline {
        Some(deadline) => tokio::time::timeout(deadline, run).await,
        None => Ok(run.await),
    };
    let error = match outcome {
        Ok(Ok(Ok(response))) => return Ok(finish(response.map_into_boxed_body(), id)),
        Ok(Ok(Err(error))) => domain_error(&error),
        Ok(Err(_panic)) => Error::internal("the handler panicked"),
        Err(_elapsed) => {
            let message =
                "The request took too long. It may have taken effect. Read the object before you retry.";
            Error::new(Kind::GatewayTimeout, message)
        }
    };
    log(&error);
    Err(LostRequest { error, id: Arc::clone(id) })
}

fn reject(request: HttpRequest, error: Error, id: &str) -> ServiceResponse<BoxBody> {
    log(&error);
    ServiceResponse::new(request, error::response(&error, id))
}

/// Turns errors into the envelope, and adds the common headers.
fn finish(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let mut response = match error_without_envelope(&response) {
        Some(error) => {
            let request = response.request().clone();
            reject(request, error, id)
        }
        None => response,
    };
    add_common_headers(response.headers_mut(), id);
    response
}

/// Adds the headers of every response.
fn add_common_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = header::HeaderValue::from_str(id) {
        headers.insert(header::HeaderName::from_static(REQUEST_ID), value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    }
}

/// Returns the error of a response that is an error but does not have the envelope yet.
fn error_without_envelope(response: &ServiceResponse<BoxBody>) -> Option<Error> {
    if let Some(error) = response.response().error() {
        return Some(domain_error(error));
    }
    let status = response.status();
    let has_envelope = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    (!has_envelope && (status.is_client_error() || status.is_server_error()))
        .then(|| framework_error(status, &"no body"))
}

fn domain_error(error: &ActixError) -> Error {
    match error.as_error::<HttpError>() {
        Some(HttpError(error)) => error.clone(),
        None => framework_error(error.as_response_error().status_code(), error),
    }
}

/// Returns the error for a status that the framework itself chose.
fn framework_error(status: StatusCode, cause: &dyn std::fmt::Display) -> Error {
    let error = match status {
        StatusCode::NOT_FOUND => Error::new(Kind::NotFound, "The path does not exist."),
        StatusCode::METHOD_NOT_ALLOWED => {
            Error::new(Kind::MethodNotAllowed, "The path does not support this method.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Kind::PayloadTooLarge, "The body is too large."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Error::new(Kind::UnsupportedMediaType, "The body must have the content type application/json.")
        }
        StatusCode::REQUEST_TIMEOUT => {
            Error::new(Kind::RequestTimeout, "The request did not arrive in time.")
        }
        status if status.is_client_error() => Error::new(Kind::Validation, "The request is malformed."),
        _ => Error::internal("error response of the framework"),
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

    /// Returns the response to a GET as the server would write it: status, error of the envelope, request id.
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
        let response = match test::try_call_service(&app, request).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("cache-control"), "no-store");
        let (status, id) = (response.status().as_u16(), header(REQUEST_ID));
        let body = to_bytes(response.into_body()).await.unwrap();
        (
            status,
            serde_json::from_slice::<Value>(&body).map(|body| body["error"].clone()).unwrap_or_default(),
            id,
        )
    }

    #[actix_web::test]
    async fn every_failure_yields_an_envelope_with_the_request_id() {
        for (path, status, code) in [
            ("/panics", 500, "INTERNAL_ERROR"),
            ("/hangs", 504, "GATEWAY_TIMEOUT"),
            ("/refuses", 409, "CONFLICT"),
            ("/nothing", 404, "NOT_FOUND"),
        ] {
            let (actual, error, id) = ask(path).await;
            assert_eq!((actual, &error["code"], id.as_str()), (status, &Value::from(code), "id-1"), "{path}");
            assert_eq!(error["requestId"], "id-1");
        }
        assert_eq!(ask("/good/1").await, (200, Value::Null, "id-1".to_owned()));
    }
}
