//! One call of a service.

use std::{rc::Rc, time::Duration};

use actix_web::{
    body,
    http::{Method, Uri, header::HeaderMap},
};
use awc::{
    Client, ClientRequest, ClientResponse,
    error::{ConnectError, SendRequestError},
};
use domain::{Error, Kind, Result};

use crate::{
    breaker::Passing,
    load::Held,
    routes::Upstream,
    stream::{Upload, Watch},
};

/// A request as a service gets it.
pub(crate) struct Call {
    pub(crate) client: Client,
    pub(crate) upstream: Upstream,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) silence: Duration,
    pub(crate) passing: Passing,
    pub(crate) held: Held,
}

/// A service's answer, and the places that its request holds.
pub(crate) type Answer = (ClientResponse, Held);

impl Call {
    /// Sends it and waits for the head of the answer.
    pub(crate) async fn run(self, upload: Option<Upload>, watch: Rc<Watch>) -> Result<Answer> {
        let name = self.upstream.name();
        let outcome = tokio::select! {
            answer = self.send(upload) => answer,
            () = watch.service_is_silent(self.silence) => {
                self.passing.failed();
                let message = format!("{name} did not answer in time; whether the request took effect is not known");
                return Err(Error::new(Kind::GatewayTimeout, message));
            }
        };
        match outcome {
            Ok(answer) => {
                self.passing.answered();
                Ok((answer, self.held))
            }
            Err(cause) => Err(watch.fault().unwrap_or_else(|| {
                if is_unreachable(&cause) {
                    self.passing.failed();
                }
                failure(name, &cause)
            })),
        }
    }

    async fn send(&self, upload: Option<Upload>) -> Result<ClientResponse, SendRequestError> {
        match upload {
            Some(body) => self.request().send_body(body).await,
            None if !self.method.is_safe() => self.request().send_body(()).await,
            None => match self.request().send_body(body::None::new()).await {
                // It changes nothing, so it may be asked again: the connection may just have been closed as unused.
                Err(cause) if is_of_connection(&cause) => self.request().send_body(body::None::new()).await,
                answer => answer,
            },
        }
    }

    fn request(&self) -> ClientRequest {
        let mut request = self.client.request(self.method.clone(), self.uri.clone());
        *request.headers_mut() = self.headers.clone();
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
