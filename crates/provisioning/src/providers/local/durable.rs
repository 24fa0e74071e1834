//! Atomic file operations that survive a power failure.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::providers::ProviderError;
use crate::providers::error_context::ErrorContext as _;

/// Replaces the file at `path` with `content`, readable only by this user.
///
/// Stages the content in a file next to `path` with a fixed name, so the caller must hold the lock that protects
/// `path`. Overwrites a staged file that a crash left.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), ProviderError> {
    let action = || format!("writing {}", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ProviderError::permanent(format!("{} is not the path of a file", path.display())));
    };
    let staged = folder.join(format!(".{}.new", name.to_string_lossy()));
    let write = || -> io::Result<()> {
        // A staged file that a crash left could have another mode; only a new file gets this mode.
        remove_file_if_any(&staged)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        sync_folder(folder)
    };
    write().during(action)
}

/// Flushes the entries of `folder` to disk: created, renamed and removed files.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Flushes `folder` and everything in it to disk.
pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Removes a file. Succeeds if it does not exist.
pub(super) fn remove_file_if_any(path: &Path) -> io::Result<()> {
    absent_is_ok(fs::remove_file(path))
}

/// Removes a folder with its contents. Succeeds if it does not exist.
pub(super) fn remove_tree_if_any(path: &Path) -> io::Result<()> {
    absent_is_ok(fs::remove_dir_all(path))
}

fn absent_is_ok(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns the content of a file, or `None` if it does not exist.
pub(super) fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, ProviderError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).during(|| format!("reading {}", path.display())),
    }
}

/// Returns the paths of the entries of `folder`, or nothing if it does not exist.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, ProviderError> {
    let list =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    match list() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.during(|| format!("listing {}", folder.display())),
    }
}
