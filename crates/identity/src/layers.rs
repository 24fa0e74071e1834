//! The two tenancy layers: the scope filter of every statement, and row-level security in PostgreSQL.
//!
//! Tests prove that each layer is sufficient alone. For that, a test process can disable the scope filter. Builds
//! without debug assertions, such as every release, have no such switch.

#[cfg(debug_assertions)]
mod switch {
    use std::sync::atomic::{AtomicBool, Ordering};

    static ENFORCED: AtomicBool = AtomicBool::new(true);

    /// Returns true if statements filter by the caller's scope.
    pub fn scope_filter_enabled() -> bool {
        ENFORCED.load(Ordering::Relaxed)
    }

    /// Disables the scope filter of this process for good, so that only row-level security isolates callers. For tests
    /// that run in their own process.
    pub fn disable_scope_filter() {
        ENFORCED.store(false, Ordering::Relaxed);
    }
}

#[cfg(debug_assertions)]
pub use switch::{disable_scope_filter, scope_filter_enabled};

/// Returns true if statements filter by the caller's scope.
#[cfg(not(debug_assertions))]
pub const fn scope_filter_enabled() -> bool {
    true
}
