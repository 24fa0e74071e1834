//! What a write left.

/// What a transaction left, and how.
#[derive(Debug, Clone)]
pub struct Done<T> {
    /// The answer.
    pub value: T,
    /// Whether it is the answer of an earlier run with the same idempotency key.
    pub replayed: bool,
    /// Whether nothing was kept.
    pub dry_run: bool,
}

impl<T> Done<T> {
    /// The same with another answer.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        Done { value: f(self.value), replayed: self.replayed, dry_run: self.dry_run }
    }
}
