//! Explanation of the state of an object: the root cause, and the chain of objects that leads to it, across services.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

/// Explanation of the state of an object and of the objects that it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// True if the object has its desired state: in use, or removed.
    pub ready: bool,
    /// The root cause in one sentence: `says` of the last link.
    pub because: String,
    /// From the requested object to the root cause. Each object waits for the next one.
    pub chain: Vec<Link>,
}

/// One object of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Type of the object: `platform`, `stack`, `feature`, `custom_domain`, `onboarding`, `request`, `job`, `service`.
    #[serde(rename = "thing")]
    pub object: String,
    /// Id of the object, or name of the service.
    pub id: String,
    /// Status of the object, as its own endpoint returns it.
    pub status: String,
    /// State of the object in one sentence.
    pub says: String,
}

impl Link {
    /// A link for one object.
    pub fn new(object: &str, id: impl Display, status: impl Display, says: impl Into<String>) -> Self {
        Self { object: object.to_owned(), id: id.to_string(), status: status.to_string(), says: says.into() }
    }
}

impl Explanation {
    /// The explanation of an object that waits for no other object.
    pub fn new(ready: bool, link: Link) -> Self {
        Self { ready, because: link.says.clone(), chain: vec![link] }
    }

    /// Appends the explanation of the object that this one waits for, if it waits for one.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Option<Self>>) -> Self {
        if let Some(cause) = cause.into() {
            self.because = cause.because;
            self.chain.extend(cause.chain);
        }
        self
    }

    /// The explanation when a service cannot be reached.
    pub fn unreachable(service: &str) -> Self {
        Self::of_service(service, format!("the service {service} cannot be reached"))
    }

    /// The explanation when a service returns an error instead of its own explanation.
    pub fn unanswered(service: &str, error: &Error) -> Self {
        match error.kind() {
            Kind::ServiceUnavailable => Self::unreachable(service),
            Kind::GatewayTimeout => {
                Self::of_service(service, format!("the service {service} does not answer in time"))
            }
            Kind::Internal => {
                Self::of_service(service, format!("the service {service} has an internal error"))
            }
            kind => {
                let says = format!("the service {service} returns {kind}: {}", error.message());
                Self::of_service(service, says)
            }
        }
    }

    fn of_service(service: &str, says: String) -> Self {
        Self::new(false, Link::new("service", service, "unavailable", says))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(object: &str, says: &str) -> Link {
        Link::new(object, 1, "running", says)
    }

    #[test]
    fn last_link_is_the_root_cause() {
        let job = Explanation::new(false, link("job", "it waits for a service"));
        let whole = Explanation::new(false, link("onboarding", "it waits for a job"))
            .caused_by(job.caused_by(Explanation::unreachable("registry")));
        assert_eq!(whole.because, "the service registry cannot be reached");
        let objects: Vec<_> = whole.chain.iter().map(|link| link.object.as_str()).collect();
        assert_eq!(objects, ["onboarding", "job", "service"]);
        assert!(!whole.ready);
    }

    #[test]
    fn explanation_distinguishes_unreachable_services_from_errors() {
        let because = |kind| Explanation::unanswered("registry", &Error::new(kind, "why")).because;
        assert_eq!(because(Kind::ServiceUnavailable), "the service registry cannot be reached");
        assert_eq!(because(Kind::GatewayTimeout), "the service registry does not answer in time");
        assert_eq!(because(Kind::Internal), "the service registry has an internal error");
        assert_eq!(because(Kind::Forbidden), "the service registry returns FORBIDDEN: why");
    }
}
