//! The data folder.
//!
//! ```text
//! .nno/                   0711: PostgreSQL, which may run as another user, has to traverse it
//!   nno-data              marker of this program; locked while a process uses the folder
//!   operator-key          0600; the operator's key, unless one was given
//!   secrets/              0700; `postgres` (the superuser's password), `<service>-owner` and `<service>-app`
//!   keys/                 0700; the keys that the processes sign with, and their public keys
//!   logs/                 0700; the log of the process, see `log_file`
//!   postgres/             the cluster, see crate embedded-postgres
//!   provider/             the resources of provisioning's local provider
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

use super::{
    log_file,
    secret::{self, StoredSecret},
};
use crate::process_keys;

const MARKER: &str = "nno-data";
const MARKER_TEXT: &str = "This folder is kept by `nno up`. Layout 1.\n";
/// The entry that a new file system has in its root folder.
const IGNORED_ENTRY: &str = "lost+found";
const TRAVERSABLE: u32 = 0o711;

/// The data folder, locked for this process.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// The kernel releases the lock when the file is closed, so a crash leaves no lock behind.
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, and locks it.
    ///
    /// # Errors
    /// When the folder has files of another program, belongs to another user, or is locked by another process.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        create(path).with_context(|| format!("cannot create the data folder {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        ensure!(path.to_str().is_some(), "the name of the data folder {} must be UTF-8", path.display());
        let marker = path.join(MARKER);
        if !marker.is_file() {
            check_empty(&path)?;
        }
        let lock = lock(&path, &marker)?;
        let folder = Self { path, _lock: lock };
        folder.create_private("secrets")?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the operator's key.
    pub(crate) fn operator_key_path(&self) -> PathBuf {
        self.path.join("operator-key")
    }

    /// Returns the operator's key, and generates it first if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn operator_key(&self) -> Result<StoredSecret> {
        secret::ensure(&self.operator_key_path())
    }

    /// Returns a secret that only this program uses, and generates it first if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn secret(&self, name: &str) -> Result<SecretString> {
        Ok(secret::ensure(&self.path.join("secrets").join(name))?.value)
    }

    /// Returns the folder of the processes' keys, and creates the keys that do not exist.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn keys(&self) -> Result<PathBuf> {
        let dir = self.path.join("keys");
        if dir.is_dir() {
            // A newer version of this program may have more processes.
            process_keys::ensure(&dir)?;
            return Ok(dir);
        }
        // Under a temporary name until it is complete.
        let incomplete = tempfile::Builder::new()
            .prefix("keys-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&self.path)
            .with_context(|| format!("cannot create a folder in {}", self.path.display()))?;
        process_keys::ensure(incomplete.path())?;
        fs::rename(incomplete.keep(), &dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// Returns the folder of the local provider.
    pub(crate) fn provider(&self) -> PathBuf {
        self.path.join("provider")
    }

    /// Returns the folder of the log files.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Returns the path of the current log file.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.logs().join(log_file::FILE_NAME)
    }

    fn create_private(&self, name: &str) -> Result<()> {
        let dir = self.path.join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot create {}", dir.display()))
    }
}

/// Creates the folder so that every user can traverse it whatever the umask is: PostgreSQL may run as another user.
fn create(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(TRAVERSABLE).create(dir)?;
    fs::set_permissions(dir, Permissions::from_mode(TRAVERSABLE))
}

/// Rejects a folder with files of another program.
fn check_empty(dir: &Path) -> Result<()> {
    let cannot = || format!("cannot read the data folder {}", dir.display());
    for entry in dir.read_dir().with_context(cannot)? {
        if entry.with_context(cannot)?.file_name() != IGNORED_ENTRY {
            bail!(
                "the data folder {} is not empty and was not created by `nno up`: choose another (NNO_DATA_DIR), or move \
                 it away",
                dir.display()
            );
        }
    }
    Ok(())
}

/// Locks the marker, and creates it if it does not exist.
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
    // Root could use the folder, but would leave files in it that the owner cannot read.
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
        make_traversable(dir)?;
        file.write_all(MARKER_TEXT.as_bytes())
            .with_context(|| format!("cannot write {}", marker.display()))?;
    } else if text != MARKER_TEXT {
        bail!(
            "the data folder {} was created by another version of `nno up`: {}",
            dir.display(),
            text.trim()
        );
    }
    Ok(file)
}

/// Lets PostgreSQL's user traverse a new data folder that was created for its owner only, as by `mktemp -d`. Secrets in
/// it have restrictive modes of their own.
fn make_traversable(dir: &Path) -> Result<()> {
    let metadata = dir.metadata()?;
    let mode = metadata.permissions().mode();
    if !geteuid().is_root() || metadata.uid() != 0 || mode & 0o011 == 0o011 {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(mode | 0o011))
        .with_context(|| format!("cannot let PostgreSQL's user traverse {}", dir.display()))
}

fn other_owner(dir: &Path, marker: &Path) -> anyhow::Error {
    let owner = marker
        .metadata()
        .map_or_else(|_| "another user".to_owned(), |found| format!("user id {}", found.uid()));
    anyhow::anyhow!(
        "the data folder {} belongs to {owner}, and this is user id {}: start `nno up` as that user, or choose another folder \
         (NNO_DATA_DIR)",
        dir.display(),
        geteuid()
    )
}
