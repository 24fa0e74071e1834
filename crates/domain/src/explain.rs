//! Why a thing is not as it should be: the root cause, and the chain that leads to it, over the borders of services.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind};

/// What a thing says of itself, and of what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether it is as it should be: in use, or gone when it is to be gone.
    pub ready: bool,
    /// The root cause, in one sentence: what the last of the chain says.
    pub because: String,
    /// From the thing that was asked about to the root cause; each waits for the next.
    pub chain: Vec<Link>,
}

/// One thing of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What it is: `platform`, `stack`, `feature`, `custom_domain`, `onboarding`, `request`, `job`, `service`.
    pub thing: String,
    /// Its id, or the name of a service.
    pub id: String,
    /// Its status, as it answers it itself.
    pub status: String,
    /// How it stands, in one sentence.
    pub says: String,
}

impl Link {
    /// How a thing stands.
    pub fn new(thing: &str, id: impl Display, status: impl Display, says: impl Into<String>) -> Self {
        Self { thing: thing.to_owned(), id: id.to_string(), status: status.to_string(), says: says.into() }
    }
}

impl Explanation {
    /// Of a thing that waits for nothing else.
    pub fn of(ready: bool, link: Link) -> Self {
        Self { ready, because: link.says.clone(), chain: vec![link] }
    }

    /// Of a thing that waits for what `deeper` is about, if it waits for something.
    #[must_use]
    pub fn under(mut self, deeper: impl Into<Option<Self>>) -> Self {
        if let Some(deeper) = deeper.into() {
            self.because = deeper.because;
            self.chain.extend(deeper.chain);
        }
        self
    }

    /// Of a service that cannot be asked.
    pub fn unreachable(service: &str) -> Self {
        Self::of_service(service, format!("the service {service} cannot be reached"))
    }

    /// Of a service that was asked, and did not say.
    pub fn unanswered(service: &str, error: &Error) -> Self {
        match error.kind() {
            Kind::ServiceUnavailable => Self::unreachable(service),
            Kind::GatewayTimeout => {
                Self::of_service(service, format!("the service {service} does not answer in time"))
            }
            Kind::Internal => {
                Self::of_service(service, format!("the service {service} does not answer as it should"))
            }
            kind => {
                let says = format!("the service {service} refuses to say more: {kind}: {}", error.message());
                Self::of_service(service, says)
            }
        }
    }

    fn of_service(service: &str, says: String) -> Self {
        Self::of(false, Link::new("service", service, "unavailable", says))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(thing: &str, says: &str) -> Link {
        Link::new(thing, 1, "running", says)
    }

    #[test]
    fn the_deepest_is_the_cause() {
        let job = Explanation::of(false, link("job", "it waits for a service"));
        let whole = Explanation::of(false, link("onboarding", "it waits for a job"))
            .under(job.under(Explanation::unreachable("registry")));
        assert_eq!(whole.because, "the service registry cannot be reached");
        let things: Vec<_> = whole.chain.iter().map(|link| link.thing.as_str()).collect();
        assert_eq!(things, ["onboarding", "job", "service"]);
        assert!(!whole.ready);
    }

    #[test]
    fn a_service_that_does_not_say_is_told_apart_from_one_that_is_away() {
        let because = |kind| Explanation::unanswered("registry", &Error::new(kind, "why")).because;
        assert_eq!(because(Kind::ServiceUnavailable), "the service registry cannot be reached");
        assert_eq!(because(Kind::GatewayTimeout), "the service registry does not answer in time");
        assert_eq!(because(Kind::Internal), "the service registry does not answer as it should");
        assert_eq!(because(Kind::Forbidden), "the service registry refuses to say more: FORBIDDEN: why");
    }
}
