//! What a fake provider is told to do wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use provisioning::providers::{ProviderError, ResourceKind};

/// How a fake provider behaves. The default does everything right, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// How long every call takes at least.
    #[serde(with = "humantime_serde")]
    pub latency: Duration,
    /// How many calls are let through in any second; those beyond it are told to come back. No cap if absent.
    pub calls_per_second: Option<NonZeroU32>,
    /// What goes wrong; of the rules that fit a call, the first is followed.
    pub rules: Vec<Rule>,
}

/// Which calls go wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only calls of this operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Only targets of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResourceKind>,
    /// Only targets of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only targets with this in their name, as the id of the platform that they belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Which of those calls, counted since the script was set.
    #[serde(default)]
    pub calls: Calls,
    /// What happens.
    pub action: Action,
}

/// Which of the calls that a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// All of them.
    #[default]
    Every,
    /// Only this one; 1 is the first.
    Nth(u32),
    /// The first so many.
    First(u32),
}

/// The operations of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `ensure`.
    Ensure,
    /// `destroy`.
    Destroy,
    /// `observe`.
    Observe,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Nothing is done, and the call fails.
    Fail(Fault),
    /// It is done, and the call fails all the same: the effect that nobody recorded.
    FailAfterEffect(Fault),
    /// Nothing is done, and the call says it was; an `observe` says the opposite of what is.
    Lie,
    /// The call takes long and goes on as usual.
    Hang {
        /// When it gets stuck.
        stage: Stage,
        /// For how long; until the script is set anew, if absent.
        #[serde(default, rename = "for", with = "humantime_serde", skip_serializing_if = "Option::is_none")]
        duration: Option<Duration>,
    },
    /// An `ensure` makes a second target where one exists already, as a provider without unique names does when two
    /// calls race.
    Duplicate,
}

/// Where in a call something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing is done yet.
    BeforeEffect,
    /// It is done; the answer is on its way.
    AfterEffect,
}

/// The error a call fails with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The same call may succeed later; with the provider's words.
    Retryable(String),
    /// The same call fails again; with the provider's words.
    Permanent(String),
    /// The provider asks to be left alone for so long.
    RateLimited(#[serde(with = "humantime_serde")] Duration),
}

impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Retryable(message) => Self::retryable(message),
            Fault::Permanent(message) => Self::permanent(message),
            Fault::RateLimited(retry_after) => Self::rate_limited(retry_after, "too many calls"),
        }
    }
}

impl Rule {
    /// A rule about every call of every operation on everything; narrow it by its fields.
    pub fn new(action: Action) -> Self {
        Self { operation: None, kind: None, name: None, part: None, calls: Calls::Every, action }
    }

    /// Only calls of `operation`.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only targets of `kind`.
    #[must_use]
    pub fn kind(mut self, kind: ResourceKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only targets with `part` in their name.
    #[must_use]
    pub fn about(mut self, part: impl Into<String>) -> Self {
        self.part = Some(part.into());
        self
    }

    /// Only these of the calls.
    #[must_use]
    pub fn calls(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }
}

impl Calls {
    /// Whether the call that is `number`th, starting at 1, is one of them.
    pub(super) fn include(self, number: i64) -> bool {
        match self {
            Self::Every => true,
            Self::Nth(nth) => number == i64::from(nth),
            Self::First(most) => number <= i64::from(most),
        }
    }
}

impl Operation {
    /// The operation as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ensure => "ensure",
            Self::Destroy => "destroy",
            Self::Observe => "observe",
        }
    }
}
