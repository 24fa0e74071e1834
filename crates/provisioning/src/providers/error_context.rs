//! Conversion of I/O and SQLite errors to [`ProviderError`]s with context.

use std::{fmt, io};

use rusqlite::ErrorCode;

use super::ProviderError;

/// Adds the failed operation to an error.
pub trait ErrorContext<T> {
    /// Converts the error to a [`ProviderError`] whose message starts with the operation, such as "reading /a/b".
    ///
    /// # Errors
    /// The converted error.
    fn during(self, operation: impl FnOnce() -> String) -> Result<T, ProviderError>;
}

impl<T> ErrorContext<T> for io::Result<T> {
    fn during(self, operation: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| from_io(operation(), e))
    }
}

/// Converts an I/O error of an operation.
pub(super) fn from_io(operation: impl fmt::Display, error: io::Error) -> ProviderError {
    let message = format!("{operation}: {error}");
    match error.kind() {
        // These persist until the machine or the request changes.
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidData => ProviderError::permanent(message),
        _ => ProviderError::retryable(message),
    }
}

impl<T> ErrorContext<T> for rusqlite::Result<T> {
    fn during(self, operation: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| {
            let message = format!("{}: {e}", operation());
            match e.sqlite_error_code() {
                Some(
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::OutOfMemory
                    | ErrorCode::FileLockingProtocolFailed,
                ) => ProviderError::retryable(message),
                _ => ProviderError::permanent(message),
            }
        })
    }
}

impl<T> ErrorContext<T> for serde_json::Result<T> {
    fn during(self, operation: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| ProviderError::permanent(format!("{}: {e}", operation())))
    }
}
