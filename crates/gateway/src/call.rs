//! A call of a service.

use std::{rc::Rc, time::Duration};

use actix_web::{
    body,
    http::{
        Method, StatusCode, Uri,
        header::{self, HeaderMap, HeaderValue},
    },
};
use awc::{
    Client, ClientRequest, ClientResponse,
    error::{ConnectError, SendRequestError},
};
use domain::{Error, Kind, Result};
use identity::{Caller, Signer};

use crate::{
    breaker::CircuitPermit,
    load::Permits,
    replay::Replay,
    stream::{Upload, Watch},
    upstream::Upstream,
};

/// A request to a service.
pub(crate) struct Call {
    pub(crate) client: Client,
    pub(crate) upstream: Upstream,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// The caller, for a new token if the service rejects the first one.
    pub(crate) caller: Caller,
    pub(crate) signer: Signer,
    pub(crate) silence: Duration,
    pub(crate) circuit: CircuitPermit,
    pub(crate) permits: Permits,
}

/// A service's response, with the permits of its request.
pub(crate) type CallResponse = (ClientResponse, Permits);

impl Call {
    /// Sends the request and waits for the head of the response.
    pub(crate) async fn run(self, upload: Option<Upload>, watch: Rc<Watch>) -> Result<CallResponse> {
        let name = self.upstream.name();
        let outcome = tokio::select! {
            response = self.send(upload) => response,
            () = watch.service_is_silent(self.silence) => {
                self.circuit.failed();
                let message = format!("The service '{name}' did not respond in time. {MAY_HAVE_TAKEN_EFFECT}");
                return Err(Error::new(Kind::GatewayTimeout, message));
            }
        };
        match outcome {
            Ok(response) => {
                self.circuit.succeeded();
                Ok((response, self.permits))
            }
            Err(cause) => Err(watch.fault().unwrap_or_else(|| {
                if is_unreachable(&cause) {
                    self.circuit.failed();
                }
                send_error(name, &cause)
            })),
        }
    }

    /// Sends the request, and repeats it with a new token if the service rejected the first one. That happens for a
    /// moment after the clock of one of the two machines was stepped. The service has done nothing then.
    async fn send(&self, upload: Option<Upload>) -> Result<ClientResponse, SendRequestError> {
        let body = upload.map(Replay::new);
        let response = self.send_with(&self.headers, body.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !body.as_ref().is_none_or(Replay::is_possible) {
            return Ok(response);
        }
        match self.signed_again() {
            Some(headers) => self.send_with(&headers, body.as_ref()).await,
            None => Ok(response),
        }
    }

    fn signed_again(&self) -> Option<HeaderMap> {
        let token = self.signer.sign_again(self.upstream.name(), &self.caller).ok()?;
        let mut headers = self.headers.clone();
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).ok()?);
        Some(headers)
    }

    async fn send_with(
        &self,
        headers: &HeaderMap,
        body: Option<&Replay<Upload>>,
    ) -> Result<ClientResponse, SendRequestError> {
        let request = || self.request(headers);
        match body {
            Some(body) => request().send_body(body.rewound()).await,
            None if !self.method.is_safe() => request().send_body(()).await,
            None => match request().send_body(body::None::new()).await {
                // A safe method can be repeated: the service may just have closed the idle connection.
                Err(cause) if is_connection_failure(&cause) => request().send_body(body::None::new()).await,
                response => response,
            },
        }
    }

    fn request(&self, headers: &HeaderMap) -> ClientRequest {
        let mut request = self.client.request(self.method.clone(), self.uri.clone());
        *request.headers_mut() = headers.clone();
        request
    }
}

/// The end of messages about requests whose outcome is unknown.
const MAY_HAVE_TAKEN_EFFECT: &str = "The request may have taken effect. Read the object before you retry.";

/// Returns true if no connection could be opened.
fn is_unreachable(cause: &SendRequestError) -> bool {
    matches!(cause, SendRequestError::Connect(cause) if !matches!(cause, ConnectError::Disconnected))
}

/// Returns true if the connection failed and a retry is worthwhile. After a connect timeout, it is not.
fn is_connection_failure(cause: &SendRequestError) -> bool {
    use SendRequestError as E;
    match cause {
        E::Connect(cause) => !matches!(cause, ConnectError::Timeout),
        E::Send(_) | E::Response(_) => true,
        _ => false,
    }
}

/// Returns the error for a service that sent no response.
fn send_error(name: &str, cause: &SendRequestError) -> Error {
    use SendRequestError as E;
    match cause {
        E::Connect(ConnectError::Disconnected) | E::Send(_) | E::Response(_) => {
            let message = format!(
                "The service '{name}' closed the connection before it responded. {MAY_HAVE_TAKEN_EFFECT}"
            );
            Error::new(Kind::Upstream, message).context(format!("{cause:?}"))
        }
        E::Connect(_) => Error::service_unavailable(name, format!("{cause:?}")),
        _ => Error::internal(format!("{name}: {cause:?}")),
    }
}
