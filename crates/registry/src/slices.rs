//! The resources of the registry. Each is a folder that declares itself as a [`Slice`]; this is their list.

use std::sync::LazyLock;

use database::Tally;
use web::ServiceConfig;

/// The parts of a resource that the service works with.
pub(crate) struct Slice {
    /// Adds the routes of its operations.
    pub(crate) http: fn(&mut ServiceConfig),
    /// Type of its audit entries, if it writes any.
    pub(crate) audit_type: Option<&'static str>,
    /// The recounts of its counters.
    pub(crate) tallies: &'static [Tally],
}

/// Every resource. Routes are matched in this order, so the most requested come first.
pub(crate) const ALL: &[Slice] = &[
    crate::manifest::SLICE,
    crate::platforms::SLICE,
    crate::entities::SLICE,
    crate::stacks::SLICE,
    crate::resources::SLICE,
    crate::features::SLICE,
    crate::secrets::SLICE,
    crate::builds::SLICE,
    crate::dns::SLICE,
    crate::domains::SLICE,
    crate::audit::SLICE,
];

/// The recounts of all counters.
pub(crate) static TALLIES: LazyLock<Vec<Tally>> =
    LazyLock::new(|| ALL.iter().flat_map(|slice| slice.tallies).copied().collect());

/// The types of all audit entries.
pub(crate) fn audit_types() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter_map(|slice| slice.audit_type)
}
