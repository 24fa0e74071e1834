//! The data folder.
//!
//! ```text
//! .nno/                   all may traverse it, because PostgreSQL may run as another user
//!   nno-data              marks it as ours; locked while a process uses it
//!   operator-key          0600; the operator's credential, unless one was given
//!   secrets/              0700; `postgres` (the superuser's password), `<service>-owner` and `<service>-app`
//!   keys/                 0700; what the processes sign with and know each other by
//!   postgres/             the cluster, see crate embedded-postgres
//!   provider/             what provisioning's local provider makes
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use secrecy::SecretString;

use super::secret::{self, Kept};
use crate::process_keys;

const MARKER: &str = "nno-data";
const MARKER_TEXT: &str = "This folder is kept by `nno up`. Layout 1.\n";
/// What a fresh file system has at its top.
const NOT_OURS_BUT_HARMLESS: &str = "lost+found";
const TRAVERSABLE: u32 = 0o711;

/// The data folder, while this process has it for itself.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Locked by the kernel until closed, so that no crash leaves a lock behind.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be, and takes it.
    ///
    /// # Errors
    /// When there are things in it that are not ours, it belongs to another user, or another process has it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        make(path).with_context(|| format!("cannot make the data folder {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        ensure!(path.to_str().is_some(), "the name of the data folder {} must be UTF-8", path.display());
        let marker = path.join(MARKER);
        if !marker.is_file() {
            check_empty(&path)?;
        }
        let lock = lock(&path, &marker)?;
        let folder = Self { path, _lock: lock };
        folder.make_private("secrets")?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the operator's key is kept.
    pub(crate) fn operator_key_path(&self) -> PathBuf {
        self.path.join("operator-key")
    }

    /// The operator's key, made if there is none.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn operator_key(&self) -> Result<Kept> {
        secret::ensure(&self.operator_key_path())
    }

    /// One of the secrets that only this program uses, made if there is none.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn secret(&self, name: &str) -> Result<SecretString> {
        Ok(secret::ensure(&self.path.join("secrets").join(name))?.value)
    }

    /// The folder of the processes' keys, with all of them in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keys(&self) -> Result<PathBuf> {
        let dir = self.path.join("keys");
        if dir.is_dir() {
            // Those of services that are new.
            process_keys::ensure(&dir)?;
            return Ok(dir);
        }
        // Under another name until it is whole.
        let making = tempfile::Builder::new()
            .prefix("keys-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.path)
            .with_context(|| format!("cannot make a folder in {}", self.path.display()))?;
        process_keys::ensure(making.path())?;
        fs::rename(making.keep(), &dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    /// Where the local provider keeps what it makes.
    pub(crate) fn provider(&self) -> PathBuf {
        self.path.join("provider")
    }

    fn make_private(&self, name: &str) -> Result<()> {
        let dir = self.path.join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))
    }
}

/// Whatever the umask is, all may traverse what we made: PostgreSQL may run as another user.
fn make(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(TRAVERSABLE).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(TRAVERSABLE))
}

/// An empty folder may become ours; one with things in it is somebody's.
fn check_empty(dir: &Path) -> Result<()> {
    let cannot = || format!("cannot read the data folder {}", dir.display());
    for entry in dir.read_dir().with_context(cannot)? {
        if entry.with_context(cannot)?.file_name() != NOT_OURS_BUT_HARMLESS {
            bail!(
                "the data folder {} is not empty and was not made by `nno up`: choose another (NNO_DATA_DIR), or move \
                 it away",
                dir.display()
            );
        }
    }
    Ok(())
}

/// Takes the lock on the marker, and makes it if there is none.
fn lock(dir: &Path, marker: &Path) -> Result<File> {
    let new = !marker.exists();
    let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o644).open(marker);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !new => {
            return Err(other_owner(dir, marker));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write in the data folder {}", dir.display()));
        }
    };
    // As root one could, and would leave files behind that its owner can no longer use.
    if file.metadata()?.uid() != geteuid().as_raw() {
        return Err(other_owner(dir, marker));
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "another `nno up` runs on the data folder {}: stop it, or choose another folder (NNO_DATA_DIR)",
            dir.display()
        ),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", marker.display()));
        }
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("cannot read {}", marker.display()))?;
    if text.is_empty() {
        open_up(dir)?;
        file.write_all(MARKER_TEXT.as_bytes())
            .with_context(|| format!("cannot write {}", marker.display()))?;
    } else if text != MARKER_TEXT {
        bail!("the data folder {} was made by another version of `nno up`: {}", dir.display(), text.trim());
    }
    Ok(file)
}

/// A folder that has just become ours may have been made for its owner alone, as by `mktemp -d`. What is secret in it
/// is closed by itself.
fn open_up(dir: &Path) -> Result<()> {
    let metadata = dir.metadata()?;
    let mode = metadata.permissions().mode();
    if !geteuid().is_root() || metadata.uid() != 0 || mode & 0o011 == 0o011 {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(mode | 0o011))
        .with_context(|| format!("cannot let PostgreSQL's user into {}", dir.display()))
}

fn other_owner(dir: &Path, marker: &Path) -> anyhow::Error {
    let owner = marker
        .metadata()
        .map_or_else(|_| "another user".to_owned(), |found| format!("user id {}", found.uid()));
    anyhow::anyhow!(
        "the data folder {} belongs to {owner}, and this is user id {}: start it as that user, or choose another folder \
         (NNO_DATA_DIR)",
        dir.display(),
        geteuid()
    )
}
