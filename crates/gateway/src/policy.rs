//! The part of the gateway that a reload replaces.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{admission::Admission, cors::Cors, iam::Iam, request_head::HeadLimits, upstream::Destinations};

/// The components that follow from `[service]` of the settings. A request loads the policy once and uses it to the end,
/// so that it never mixes two versions of the settings.
pub(crate) struct Policy {
    pub(crate) admission: Admission,
    pub(crate) cors: Cors,
    pub(crate) destinations: Destinations,
    pub(crate) head_limits: HeadLimits,
    pub(crate) iam: Arc<Iam>,
    /// Maximum idle time of a client's connection between two requests.
    pub(crate) keep_alive_timeout: Duration,
    /// Maximum time for which a client may leave a response unread.
    pub(crate) stalled_client_timeout: Duration,
}

/// The current policy.
pub(crate) type CurrentPolicy = Arc<ArcSwap<Policy>>;
