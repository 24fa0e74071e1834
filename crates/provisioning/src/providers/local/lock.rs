//! File locks between all tasks and processes that use the same root folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::providers::ProviderError;
use crate::providers::error_context::ErrorContext as _;

/// Longest pause between two attempts to acquire a lock.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A held lock. It is released when dropped; the kernel releases it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// The lock is held while this file is open, here or in a process that it was shared with.
    file: File,
}

impl Lock {
    /// Acquires the lock at `path`; waits for at most `timeout`. Blocks the thread.
    ///
    /// # Errors
    ///
    /// Retryable, if the lock was held by others all the time.
    pub(super) fn acquire(path: &Path, timeout: Duration) -> Result<Self, ProviderError> {
        let action = || format!("locking {}", path.display());
        let since = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let file =
                OpenOptions::new().create(true).truncate(false).write(true).open(path).during(action)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path).during(action)? => {
                    return Ok(Self { path: path.to_owned(), file });
                }
                // The previous holder removed the file meanwhile, so this lock is on a deleted file.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(e).during(action),
            }
            if since.elapsed() >= timeout {
                let message = format!("{} was held by others for {timeout:?}", path.display());
                return Err(ProviderError::retryable(message));
            }
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Returns a handle that makes a child process hold the lock as well, as one of its standard streams. The lock is
    /// then released only when the child exits, even if this process is killed.
    pub(super) fn share(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while the lock is held, so that only the holder removes the file. A file that stays does no harm.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "could not remove a lock file");
        }
    }
}

/// Returns true if `path` still refers to `file`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((opened.dev(), opened.ino()) == (found.dev(), found.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
