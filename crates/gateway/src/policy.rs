//! The part of the gateway that a reload replaces.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{admission::Admission, cors::Cors, iam::Iam, request_head::HeadLimits, upstream::Destinations};

/// The components that follow from `[service]` of the settings. A request loads them once and keeps them to its end, so
/// that it never sees two settings.
pub(crate) struct Policy {
    pub(crate) admission: Admission,
    pub(crate) cors: Cors,
    pub(crate) destinations: Destinations,
    pub(crate) head_limits: HeadLimits,
    pub(crate) iam: Arc<Iam>,
    /// The longest pause of a client's connection between two requests.
    pub(crate) keep_alive_timeout: Duration,
    /// The longest time for which a client may leave unread what it was sent.
    pub(crate) stalled_client_timeout: Duration,
}

/// The policy in force.
pub(crate) type CurrentPolicy = Arc<ArcSwap<Policy>>;
