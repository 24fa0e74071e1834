//! The registry over gRPC: who may call what, and where each method leads.

/// The gRPC service.
pub(crate) const SERVICE: &str = "nno.registry.v1.Registry";

/// Which processes may call which method.
pub(crate) const CALLERS: &[(&str, &[&str])] = &[];
