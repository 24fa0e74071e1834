//! Why a thing is not as it should be: the root cause, and the chain that leads to it, over the borders of services.

use serde::{Deserialize, Serialize};

/// What a thing says of itself, and of what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Whether it is as it should be.
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
    /// What it is, such as `onboarding`, `job`, `service`.
    pub thing: String,
    /// Its id, or the name of a service.
    pub id: String,
    /// Its status, as it answers it itself.
    pub status: String,
    /// How it stands, in one sentence.
    pub says: String,
}

impl Explanation {
    /// Of a thing that waits for nothing else.
    pub fn of(ready: bool, link: Link) -> Self {
        Self { ready, because: link.says.clone(), chain: vec![link] }
    }

    /// Of a thing that waits for what `deeper` is about.
    #[must_use]
    pub fn under(mut self, deeper: Self) -> Self {
        self.because = deeper.because;
        self.chain.extend(deeper.chain);
        self
    }

    /// Of a service that cannot be asked.
    pub fn unreachable(service: &str) -> Self {
        Self::of(
            false,
            Link {
                thing: "service".to_owned(),
                id: service.to_owned(),
                status: "unavailable".to_owned(),
                says: format!("the service {service} cannot be reached"),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(thing: &str, says: &str) -> Link {
        Link { thing: thing.into(), id: "1".into(), status: "running".into(), says: says.into() }
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
}
