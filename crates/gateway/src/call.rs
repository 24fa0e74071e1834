//! One call of a service.

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

/// A request as a service gets it.
pub(crate) struct Call {
    pub(crate) client: Client,
    pub(crate) upstream: Upstream,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Who is signed for, and who signs again if the service refuses the signature.
    pub(crate) caller: Caller,
    pub(crate) signer: Signer,
    pub(crate) silence: Duration,
    pub(crate) circuit: CircuitPermit,
    pub(crate) permits: Permits,
}

/// A service's answer, and the permits that its request holds.
pub(crate) type Answer = (ClientResponse, Permits);

impl Call {
    /// Sends it and waits for the head of the answer.
    pub(crate) async fn run(self, upload: Option<Upload>, watch: Rc<Watch>) -> Result<Answer> {
        let name = self.upstream.name();
        let outcome = tokio::select! {
            answer = self.send(upload) => answer,
            () = watch.service_is_silent(self.silence) => {
                self.circuit.failed();
                let message = format!("{name} did not answer in time; whether the request took effect is not known");
                return Err(Error::new(Kind::GatewayTimeout, message));
            }
        };
        match outcome {
            Ok(answer) => {
                self.circuit.answered();
                Ok((answer, self.permits))
            }
            Err(cause) => Err(watch.fault().unwrap_or_else(|| {
                if is_unreachable(&cause) {
                    self.circuit.failed();
                }
                failure(name, &cause)
            })),
        }
    }

    /// Sends it, and once more if the service refused the signature: for a moment it does, when the clock of one of the
    /// two machines was stepped. It has done nothing then.
    async fn send(&self, upload: Option<Upload>) -> Result<ClientResponse, SendRequestError> {
        let body = upload.map(Replay::new);
        let answer = self.send_with(&self.headers, body.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !body.as_ref().is_none_or(Replay::is_possible) {
            return Ok(answer);
        }
        match self.signed_again() {
            Some(headers) => self.send_with(&headers, body.as_ref()).await,
            None => Ok(answer),
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
                // It changes nothing, so it may be asked again: the connection may just have been closed as unused.
                Err(cause) if is_of_connection(&cause) => request().send_body(body::None::new()).await,
                answer => answer,
            },
        }
    }

    fn request(&self, headers: &HeaderMap) -> ClientRequest {
        let mut request = self.client.request(self.method.clone(), self.uri.clone());
        *request.headers_mut() = headers.clone();
        request
    }
}

/// Whether no connection was to be had.
fn is_unreachable(cause: &SendRequestError) -> bool {
    matches!(cause, SendRequestError::Connect(cause) if !matches!(cause, ConnectError::Disconnected))
}

/// Whether it was the connection that failed, and is worth another try. One that was waited for in vain is not.
fn is_of_connection(cause: &SendRequestError) -> bool {
    use SendRequestError as E;
    match cause {
        E::Connect(cause) => !matches!(cause, ConnectError::Timeout),
        E::Send(_) | E::Response(_) => true,
        _ => false,
    }
}

/// What it means when a service gave no answer.
fn failure(name: &str, cause: &SendRequestError) -> Error {
    use SendRequestError as E;
    match cause {
        E::Connect(ConnectError::Disconnected) | E::Send(_) | E::Response(_) => {
            let message =
                format!("{name} broke off before it answered; whether the request took effect is not known");
            Error::new(Kind::Upstream, message).context(format!("{cause:?}"))
        }
        E::Connect(_) => Error::unavailable(name, format!("{cause:?}")),
        _ => Error::internal(format!("{name}: {cause:?}")),
    }
}
