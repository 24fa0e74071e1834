//! Conversion between domain errors and gRPC statuses.

use domain::{Error, Kind};
use runtime::error::{log, mapping};
use serde_json::{Map, Value};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DETAILS: &str = "details";
const DOMAIN: &str = "nno";

/// Converts an error to a gRPC status. [`from_status`] restores the same error on the calling side.
pub fn to_status(error: &Error) -> Status {
    log(error);
    let details = Value::Object(error.details().clone()).to_string();
    let info = ErrorDetails::with_error_info(error.kind().as_str(), DOMAIN, [(DETAILS.to_owned(), details)]);
    Status::with_error_details(mapping(error.kind()).grpc, error.message(), info)
}

/// Converts the status of a peer to a domain error.
pub fn from_status(peer: &'static str, status: &Status) -> Error {
    let error_details = status.get_error_details();
    let info = error_details.error_info().filter(|info| info.domain == DOMAIN);
    if let Some(info) = info
        && let Ok(kind) = Kind::parse(&info.reason)
    {
        let details: Map<String, Value> =
            info.metadata.get(DETAILS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        return Error::new(kind, status.message().to_owned())
            .with_details(details)
            .context(format!("returned by {peer}"));
    }
    let context = format!("{peer}: {:?}: {}", status.code(), status.message());
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => {
            Error::new(Kind::GatewayTimeout, format!("The service '{peer}' did not respond in time."))
                .context(context)
        }
        Code::Unavailable | Code::Unknown => Error::service_unavailable(peer, context),
        _ => Error::internal(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_a_grpc_hop() {
        for kind in Kind::ALL {
            let error = Error::new(*kind, "why").with("from", "a");
            let back = from_status("registry", &to_status(&error));
            assert_eq!((back.kind(), back.message(), back.details()), (*kind, "why", error.details()));
        }
    }

    #[test]
    fn every_kind_maps_to_an_error_status() {
        for kind in Kind::ALL {
            assert!((400..600).contains(&mapping(*kind).http));
            assert_ne!(mapping(*kind).grpc, Code::Ok);
        }
    }

    #[test]
    fn an_unknown_status_does_not_leak_its_message() {
        let error = from_status("registry", &Status::internal("secret path"));
        assert!(!error.message().contains("secret"));
        assert_eq!(from_status("registry", &Status::unavailable("x")).kind(), Kind::ServiceUnavailable);
    }
}
