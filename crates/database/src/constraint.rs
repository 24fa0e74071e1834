//! Constraints decide, and where a violation is expected it is told by the constraint's name.

use diesel::result::{DatabaseErrorKind, Error as DbError};
use domain::{Error, Result};

/// Tells expected constraint violations apart from faults of ours.
pub trait OnConstraint<T> {
    /// What the violation of the named constraint means here; `None` leaves it unexpected.
    ///
    /// # Errors
    /// What `meaning` says, or the database error's general meaning.
    fn on_constraint(self, meaning: impl FnOnce(&str) -> Option<Error>) -> Result<T>;
}

impl<T> OnConstraint<T> for Result<T, DbError> {
    fn on_constraint(self, meaning: impl FnOnce(&str) -> Option<Error>) -> Result<T> {
        self.map_err(|error| {
            let told = match &error {
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
            told.unwrap_or_else(|| Error::from(error))
        })
    }
}
