//! The default path of the data folder.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use super::console::Console;

const DEFAULT: &str = ".nno";
/// Parent of the data folders that root uses by default.
const SYSTEM: &str = "/var/lib/nno";

/// Returns the path that was given, else `.nno` in the working directory.
///
/// Root's PostgreSQL runs as another user, which cannot reach a folder below one such as `/root`. There the default is a
/// folder under `/var/lib/nno` that is named after the working directory, and the console reports it.
///
/// # Errors
/// When the working directory does not exist any more.
pub(crate) fn choose(given: Option<PathBuf>, console: &Console) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given);
    }
    let here = env::current_dir().context("cannot find the working directory")?;
    let default = here.join(DEFAULT);
    if !geteuid().is_root() || default.exists() {
        return Ok(default);
    }
    let Some(closed) = closed_to_others(&here) else { return Ok(default) };
    let instead = Path::new(SYSTEM).join(flat(&here));
    console.line(format_args!(
        "data folder is not {}, because PostgreSQL's user cannot enter {}; choose a folder with NNO_DATA_DIR",
        default.display(),
        closed.display()
    ));
    Ok(instead)
}

/// Returns the outermost folder of `path` that other users cannot traverse.
fn closed_to_others(path: &Path) -> Option<&Path> {
    let is_closed = |dir: &&Path| dir.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    path.ancestors().filter(is_closed).last()
}

/// Encodes a path as one file name. Different paths get different names.
fn flat(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').replace('-', "--").replace('/', "-")
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir_all, set_permissions};

    use super::*;

    #[test]
    fn outermost_closed_folder_is_found() {
        let dir = tempfile::tempdir().unwrap();
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let (closed, inner) = (dir.path().join("a"), dir.path().join("a/b/c"));
        create_dir_all(&inner).unwrap();
        assert_eq!(closed_to_others(&inner), None);
        for path in [&closed, &inner] {
            set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        }
        assert_eq!(closed_to_others(&inner), Some(closed.as_path()));
    }

    #[test]
    fn different_paths_have_different_names() {
        assert_eq!(flat(Path::new("/root/nno")), "root-nno");
        assert_ne!(flat(Path::new("/root/a-b")), flat(Path::new("/root/a/b")));
    }
}
