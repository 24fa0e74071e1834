//! The settings of rate limits and limits on requests in progress.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::string_list::StringList;

/// Limits of one gateway process. A number of 0 disables the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Sustained rate of one caller, in requests per second.
    pub per_caller_per_second: u32,
    /// Burst of one caller, in requests.
    pub per_caller_burst: u32,
    /// Sustained rate of one address, in requests per second.
    pub per_address_per_second: u32,
    /// Burst of one address, in requests.
    pub per_address_burst: u32,
    /// Maximum number of rejected credentials from one address per minute.
    pub failures_per_minute: u32,
    /// Maximum number of requests in progress per caller.
    pub per_caller_in_flight: usize,
    /// Maximum number of requests in progress.
    pub max_in_flight: usize,
    /// Maximum number of requests in progress per service, of which one tenant may have at most three quarters. Further
    /// requests wait; tenants with the fewest requests in progress are served first.
    pub max_in_flight_per_upstream: usize,
    /// Maximum wait of a request for a service.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub queue_timeout: Duration,
    /// Networks of the proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` headers are trusted.
    pub trusted_proxies: StringList,
}
