//! One holder at a time, among all tasks and processes that use the same root folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::providers::ProviderError;
use crate::providers::fault::ErrorContext as _;

/// The longest pause between two looks at a lock somebody else holds.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A held lock; given back when dropped, and by the kernel when its process dies.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Holds the lock for as long as it is open, here or in a process that it was shared with.
    file: File,
}

impl Lock {
    /// Takes the lock at `path`, waiting for at most `patience`. Blocks the thread.
    ///
    /// # Errors
    ///
    /// Retryable, if others held it all that time.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<Self, ProviderError> {
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
                // The one who held it has removed the file meanwhile: what was locked is nobody's lock any more.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(e).during(action),
            }
            if since.elapsed() >= patience {
                let message = format!("{} was held by others for {patience:?}", path.display());
                return Err(ProviderError::retryable(message));
            }
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Lets a child process hold the lock as well, given to it as one of its standard streams. So the lock is not free
    /// before the child has ended, also if this process is killed in the meantime.
    pub(super) fn share(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is still held, so that only its holder ever removes the file. One that stays does no harm.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a lock file stays behind");
        }
    }
}

/// Whether `path` still leads to `file`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((held.dev(), held.ino()) == (found.dev(), found.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
