//! Where the data folder is when nobody said.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

use cli::say;

const DEFAULT: &str = ".nno";
/// Where a system keeps the data of what root runs.
const SYSTEM: &str = "/var/lib/nno";

/// The data folder: the one given, else `.nno` here.
///
/// Root's PostgreSQL runs as another user, who cannot come to a folder below a closed one such as `/root`. There the
/// default is a folder under `/var/lib/nno` that is named after this one, and people are told.
///
/// # Errors
/// When the working folder is gone.
pub(crate) fn choose(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given);
    }
    let here = env::current_dir().context("cannot find the working folder")?;
    let default = here.join(DEFAULT);
    if !geteuid().is_root() || default.exists() {
        return Ok(default);
    }
    let Some(closed) = closed_to_others(&here) else { return Ok(default) };
    let instead = Path::new(SYSTEM).join(flat(&here));
    say::line(format_args!(
        "data is not kept in {}, as PostgreSQL's user may not enter {}; choose a folder with NNO_DATA_DIR",
        default.display(),
        closed.display()
    ));
    Ok(instead)
}

/// The outermost folder on the way to `path` that others may not traverse.
fn closed_to_others(path: &Path) -> Option<&Path> {
    let is_closed = |dir: &&Path| dir.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    path.ancestors().filter(is_closed).last()
}

/// The path as one name: two paths never have the same one.
fn flat(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').replace('-', "--").replace('/', "-")
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir_all, set_permissions};

    use super::*;

    #[test]
    fn the_outermost_closed_folder_is_found() {
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
    fn folders_do_not_share_a_name() {
        assert_eq!(flat(Path::new("/root/nno")), "root-nno");
        assert_ne!(flat(Path::new("/root/a-b")), flat(Path::new("/root/a/b")));
    }
}
