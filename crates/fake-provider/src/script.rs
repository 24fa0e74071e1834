//! Scripts, which define the faults of a fake provider.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use provisioning::providers::{ProviderError, ResourceKind};

/// The behaviour of a fake provider. By default, every call succeeds at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The minimum duration of every call.
    #[serde(with = "humantime_serde")]
    pub latency: Duration,
    /// The maximum number of calls in any second; calls above it are rate-limited. Unlimited if absent.
    pub calls_per_second: Option<NonZeroU32>,
    /// The faults. The first rule that matches a call applies.
    pub rules: Vec<Rule>,
}

/// A fault for the calls that match a filter.
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
    /// Only targets whose name contains this text, such as the id of their platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The matching calls to which the rule applies, counted since the script was set.
    #[serde(default)]
    pub calls: Calls,
    /// The fault.
    pub action: Action,
}

/// The matching calls to which a rule applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// All calls.
    #[default]
    Every,
    /// Only the call with this number; 1 is the first.
    Nth(u32),
    /// This many calls from the first.
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

/// A fault of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// The call fails without an effect.
    Fail(Fault),
    /// The call takes effect and fails, so that the caller does not record the effect.
    FailAfterEffect(Fault),
    /// The call has no effect and reports success; an `observe` reports the opposite of the actual state.
    Lie,
    /// The call hangs and then continues normally.
    Hang {
        /// The stage in which it hangs.
        stage: Stage,
        /// The duration; if absent, until a new script is set.
        #[serde(default, rename = "for", with = "humantime_serde", skip_serializing_if = "Option::is_none")]
        duration: Option<Duration>,
    },
    /// An `ensure` creates a second target where one exists, like a provider without unique names when two calls race.
    Duplicate,
}

/// A stage of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before the call takes effect.
    BeforeEffect,
    /// After the effect and before the response.
    AfterEffect,
}

/// The error a call fails with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The call may succeed later. Contains the provider's message.
    Retryable(String),
    /// The call will fail again. Contains the provider's message.
    Permanent(String),
    /// The provider limits the rate of calls. Contains the time until the next call.
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
    /// Creates a rule for every call; narrow it by the other methods.
    pub fn new(action: Action) -> Self {
        Self { operation: None, kind: None, name: None, part: None, calls: Calls::Every, action }
    }

    /// Limits the rule to calls of `operation`.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Limits the rule to targets of `kind`.
    #[must_use]
    pub fn kind(mut self, kind: ResourceKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Limits the rule to targets whose name contains `part`.
    #[must_use]
    pub fn about(mut self, part: impl Into<String>) -> Self {
        self.part = Some(part.into());
        self
    }

    /// Limits the rule to these of the matching calls.
    #[must_use]
    pub fn calls(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }
}

impl Calls {
    /// Returns true if the call with this number, starting at 1, is included.
    pub(super) fn include(self, number: i64) -> bool {
        match self {
            Self::Every => true,
            Self::Nth(nth) => number == i64::from(nth),
            Self::First(count) => number <= i64::from(count),
        }
    }
}

impl Operation {
    /// Returns the name of the operation in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ensure => "ensure",
            Self::Destroy => "destroy",
            Self::Observe => "observe",
        }
    }
}
