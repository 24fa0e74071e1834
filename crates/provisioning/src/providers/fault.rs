//! Turns what the disk and SQLite say into [`ProviderError`]s.

use std::{fmt, io};

use rusqlite::ErrorCode;

use super::ProviderError;

/// Says what was being done when something went wrong.
pub trait ErrorContext<T> {
    /// The error in the words of its source, after what was being done.
    ///
    /// # Errors
    /// The error itself.
    fn during(self, what: impl FnOnce() -> String) -> Result<T, ProviderError>;
}

impl<T> ErrorContext<T> for io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| of_io(what(), e))
    }
}

/// What the disk says, after what was being done.
pub(super) fn of_io(what: impl fmt::Display, error: io::Error) -> ProviderError {
    let message = format!("{what}: {error}");
    match error.kind() {
        // These stay as they are until somebody changes the machine or the request.
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidData => ProviderError::permanent(message),
        _ => ProviderError::retryable(message),
    }
}

impl<T> ErrorContext<T> for rusqlite::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| {
            let message = format!("{}: {e}", what());
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
    fn during(self, what: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| ProviderError::permanent(format!("{}: {e}", what())))
    }
}
