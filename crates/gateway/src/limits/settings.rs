//! How much a caller, an address and the process may have.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::texts::Texts;

/// Limits of one gateway process. Of each number, 0 means that there is no such limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Requests of one caller per second, in the long run.
    pub per_caller_per_second: u32,
    /// Requests of one caller at once, after a pause.
    pub per_caller_burst: u32,
    /// Requests from one address per second, in the long run.
    pub per_address_per_second: u32,
    /// Requests from one address at once, after a pause.
    pub per_address_burst: u32,
    /// Refused credentials from one address per minute.
    pub failures_per_minute: u32,
    /// Requests of one caller under way at a time.
    pub per_caller_in_flight: usize,
    /// Requests under way at a time.
    pub max_in_flight: usize,
    /// Requests to one service under way at a time, of which one tenant has at most three quarters. A request beyond them
    /// waits for its turn, which comes first to the tenants who have the fewest under way.
    pub max_in_flight_per_upstream: usize,
    /// How long a request waits for its turn at a service.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub queue_timeout: Duration,
    /// Networks of proxies that are believed in what they say of their clients.
    pub trusted_proxies: Texts,
}
