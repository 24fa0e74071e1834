//! The two layers of tenancy: statements are given the caller's scope, and PostgreSQL shows no row outside of it.
//!
//! Tests prove that each layer holds alone. For that, a test process can have its statements given no scope. Builds
//! without debug assertions, such as every release, have no such switch.

#[cfg(debug_assertions)]
mod switch {
    use std::sync::atomic::{AtomicBool, Ordering};

    static ENFORCED: AtomicBool = AtomicBool::new(true);

    /// Whether statements are given the caller's scope.
    pub fn scope_is_enforced() -> bool {
        ENFORCED.load(Ordering::Relaxed)
    }

    /// Has the statements of this process given no scope from here on, so that PostgreSQL alone keeps callers apart. For
    /// tests that run in a process of their own.
    pub fn leave_tenancy_to_postgres() {
        ENFORCED.store(false, Ordering::Relaxed);
    }
}

#[cfg(debug_assertions)]
pub use switch::{leave_tenancy_to_postgres, scope_is_enforced};

/// Whether statements are given the caller's scope.
#[cfg(not(debug_assertions))]
pub const fn scope_is_enforced() -> bool {
    true
}
