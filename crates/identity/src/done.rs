//! The outcome of a write.

/// The outcome of a write transaction.
#[derive(Debug, Clone)]
pub struct Done<T> {
    /// The result, which becomes the response.
    pub value: T,
    /// True if the result is that of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// True if the transaction was a dry run and was rolled back.
    pub dry_run: bool,
}

impl<T> Done<T> {
    /// Converts the result.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        Done { value: f(self.value), replayed: self.replayed, dry_run: self.dry_run }
    }
}
