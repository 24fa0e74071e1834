//! Maps violations of named constraints to errors of the API.

use diesel::result::{DatabaseErrorKind, Error as DbError};
use domain::{Error, Result};

/// Converts expected constraint violations to errors of the API.
pub trait OnConstraint<T> {
    /// Returns the result, with a violated constraint mapped through `meaning`. `None` leaves the violation unexpected.
    ///
    /// # Errors
    /// The error that `meaning` returns, or the general error for a database failure.
    fn on_constraint(self, meaning: impl FnOnce(&str) -> Option<Error>) -> Result<T>;
}

impl<T> OnConstraint<T> for Result<T, DbError> {
    fn on_constraint(self, meaning: impl FnOnce(&str) -> Option<Error>) -> Result<T> {
        self.map_err(|error| {
            let expected = match &error {
                DbError::DatabaseError(
                    DatabaseErrorKind::UniqueViolation
                    | DatabaseErrorKind::ForeignKeyViolation
                    | DatabaseErrorKind::CheckViolation
                    | DatabaseErrorKind::RestrictViolation
                    | DatabaseErrorKind::ExclusionViolation,
                    info,
                ) => info.constraint_name().and_then(meaning),
                _ => None,
            };
            expected.unwrap_or_else(|| Error::from(error))
        })
    }
}
