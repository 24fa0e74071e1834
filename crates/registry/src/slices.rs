//! List of the registry's types of objects. Each is a folder that exports a [`Slice`].

use std::sync::LazyLock;

use database::CounterSource;
use web::ServiceConfig;

/// The parts of a type of object that the service needs.
pub(crate) struct Slice {
    /// Adds its routes.
    pub(crate) http: fn(&mut ServiceConfig),
    /// Type of its audit entries, if any.
    pub(crate) audit_type: Option<&'static str>,
    /// Sources of its counters.
    pub(crate) counter_sources: &'static [CounterSource],
}

/// All slices. Routes match in this order, so the most requested ones come first.
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

/// Sources of all counters.
pub(crate) static COUNTER_SOURCES: LazyLock<Vec<CounterSource>> =
    LazyLock::new(|| ALL.iter().flat_map(|slice| slice.counter_sources).copied().collect());

/// Returns the types of all audit entries.
pub(crate) fn audit_types() -> impl Iterator<Item = &'static str> {
    ALL.iter().filter_map(|slice| slice.audit_type)
}
