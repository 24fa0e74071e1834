//! Writes that are either there as a whole after a power cut, or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::providers::ProviderError;
use crate::providers::fault::ErrorContext as _;

/// Puts `content` in place of the file at `path`, readable by this user only.
///
/// The new content is staged under one name beside `path`, so the caller must hold what guards `path`; a stage left by a
/// crash is written over.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> Result<(), ProviderError> {
    let action = || format!("writing {}", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ProviderError::permanent(format!("{} is not the path of a file", path.display())));
    };
    let staged = folder.join(format!(".{}.new", name.to_string_lossy()));
    let write = || -> io::Result<()> {
        // A stage left by a crash could have another mode; only a new file gets the mode asked for.
        remove_file_if_any(&staged)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        sync_folder(folder)
    };
    write().during(action)
}

/// Makes the entries of `folder` last: what was made, renamed or removed in it.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes every file and folder below `folder` last, and `folder` itself.
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

/// Removes a file; one that does not exist is fine.
pub(super) fn remove_file_if_any(path: &Path) -> io::Result<()> {
    absent_is_ok(fs::remove_file(path))
}

/// Removes a folder and all in it; one that does not exist is fine.
pub(super) fn remove_tree_if_any(path: &Path) -> io::Result<()> {
    absent_is_ok(fs::remove_dir_all(path))
}

fn absent_is_ok(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The content of a file, or `None` if there is none.
pub(super) fn read_if_any(path: &Path) -> Result<Option<Vec<u8>>, ProviderError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).during(|| format!("reading {}", path.display())),
    }
}

/// The paths of what is directly in `folder`; nothing if there is no such folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, ProviderError> {
    let list =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    match list() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.during(|| format!("listing {}", folder.display())),
    }
}
