//! What every request passes first and last: its id, its span, its deadline; panics and strange answers become
//! the envelope.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use actix_web::{
    Error as ActixError, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web,
};
use domain::{Error, Kind, id};
use futures_util::FutureExt;
use opentelemetry::KeyValue;
use tracing::{Instrument, field::Empty};

use super::{HttpError, HttpSettings};
use crate::{error, telemetry};

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

/// The client's id if it is a sane token, else a new one.
fn take_request_id(request: &ServiceRequest) -> Arc<str> {
    let sane = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b':'))
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
/// Never: whatever goes wrong inside is an answer.
pub async fn enter<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let started = Instant::now();
    let id = take_request_id(&request);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let span = tracing::info_span!("http", request_id = %id, trace_id = Empty, method = %method, path = %path);
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::continue_trace(&span, parent);

    let answer = async {
        let answer = guarded(request, next, &id).await;
        let (status, ms) = (answer.status().as_u16(), started.elapsed().as_secs_f64() * 1000.0);
        tracing::info!(target: "access", status, ms, "answered");
        answer
    }
    .instrument(span)
    .await;

    let named = answer.request().extensions().get::<RouteName>().map(|name| name.0.to_owned());
    let route = named.or_else(|| answer.request().match_pattern()).unwrap_or_else(|| "none".to_owned());
    let labels = [
        KeyValue::new("http.request.method", method.to_string()),
        KeyValue::new("http.route", route),
        KeyValue::new("http.response.status_code", i64::from(answer.status().as_u16())),
    ];
    telemetry::measure("http.server.request.duration", &labels, started.elapsed());
    Ok(answer)
}

/// Runs the handler; whatever comes out is an answer.
async fn guarded<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    id: &str,
) -> ServiceResponse<BoxBody> {
    let deadline = request.app_data::<web::Data<HttpSettings>>().map(|settings| settings.request_timeout);
    let kept = request.request().clone();
    let run = AssertUnwindSafe(next.call(request)).catch_unwind();
    let outcome = match deadline {
        Some(deadline) => tokio::time::timeout(deadline, run).await,
        None => Ok(run.await),
    };
    let answer = match outcome {
        Ok(Ok(Ok(answer))) => answer.map_into_boxed_body(),
        Ok(Ok(Err(error))) => ServiceResponse::from_err(error, kept),
        Ok(Err(_panic)) => refuse(kept, Error::internal("the handler panicked"), id),
        Err(_elapsed) => {
            let message = "The request took too long; whether it took effect is not known";
            refuse(kept, Error::new(Kind::GatewayTimeout, message), id)
        }
    };
    finish(answer, id)
}

fn refuse(request: HttpRequest, error: Error, id: &str) -> ServiceResponse<BoxBody> {
    error::log(&error);
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
    let headers = answer.headers_mut();
    if let Ok(value) = header::HeaderValue::from_str(id) {
        headers.insert(header::HeaderName::from_static(REQUEST_ID), value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    }
    answer
}

/// The error that an answer stands for, if it does and is not written as the envelope yet.
fn told(answer: &ServiceResponse<BoxBody>) -> Option<Error> {
    if let Some(error) = answer.response().error() {
        return Some(match error.as_error::<HttpError>() {
            Some(HttpError(error)) => error.clone(),
            None => of_status(answer.status(), error),
        });
    }
    let status = answer.status();
    let ours = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    (!ours && (status.is_client_error() || status.is_server_error())).then(|| of_status(status, &"no body"))
}

/// What the framework itself refused.
fn of_status(status: StatusCode, cause: &dyn std::fmt::Display) -> Error {
    let error = match status {
        StatusCode::NOT_FOUND => Error::new(Kind::NotFound, "There is nothing at this path"),
        StatusCode::METHOD_NOT_ALLOWED => Error::new(Kind::MethodNotAllowed, "The path does not take this method"),
        StatusCode::PAYLOAD_TOO_LARGE => Error::new(Kind::PayloadTooLarge, "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Error::new(Kind::UnsupportedMediaType, "The body must be application/json"),
        StatusCode::REQUEST_TIMEOUT => Error::new(Kind::RequestTimeout, "The request did not arrive in time"),
        status if status.is_client_error() => Error::new(Kind::Validation, "The request cannot be read"),
        _ => Error::internal("answered by the framework"),
    };
    error.context(cause)
}
