use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::account;
use crate::error::Error;

const NAME: &str = "postgres";
const MARKER: &str = "nno-cluster";
const MARKER_TEXT: &str = "This folder is kept by NNO's embedded PostgreSQL. Layout 1.\n";
const LOG_LIMIT: u64 = 16 * 1024 * 1024;
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 15;

/// The folder `postgres/` in a data folder, locked by this process.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The kernel releases the lock when the file is closed, also after a crash.
    _lock: File,
}

impl Folder {
    /// Opens and locks the folder. Creates it if it does not exist.
    ///
    /// # Errors
    /// [`Error::Foreign`] if the folder contains files of another program, [`Error::AlreadyRunning`] if another process
    /// holds the lock.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        create(data_dir)?;
        let data_dir = data_dir.canonicalize().map_err(Error::io("cannot resolve", data_dir))?;
        let path = data_dir.join(NAME);
        create(&path)?;
        if !path.join(MARKER).is_file() && !is_empty(&path)? {
            return Err(Error::Foreign(path));
        }
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Opens and locks the folder like [`Folder::open`]. Returns `None` if it does not exist.
    pub(crate) fn open_existing(data_dir: &Path) -> Result<Option<Self>, Error> {
        if data_dir.join(NAME).is_dir() { Self::open(data_dir).map(Some) } else { Ok(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of PostgreSQL's data directory, which may not exist yet.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join("cluster")
    }

    /// Returns the PostgreSQL version that created the cluster, such as "15", or `None` if there is no cluster yet.
    pub(crate) fn cluster_version(&self) -> Result<Option<String>, Error> {
        let file = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            // initdb creates the cluster elsewhere and renames it, so a cluster without this file is damaged.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !self.cluster().exists() => Ok(None),
            Err(e) => Err(Error::io("cannot read", &file)(e)),
        }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        fs::read_to_string(self.path.join("port")).ok()?.trim().parse().ok()
    }

    pub(crate) fn remember_port(&self, port: u16) -> Result<(), Error> {
        let file = self.path.join("port");
        fs::write(&file, format!("{port}\n")).map_err(Error::io("cannot write", &file))
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// Opens the log for appending and returns its current length in bytes. Rotates it first if it is too long.
    pub(crate) fn open_log(&self) -> Result<(File, u64), Error> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            let old = self.path.join("postgres.log.1");
            fs::rename(&path, &old).map_err(Error::io("cannot rename", &path))?;
        }
        // Not world-readable: the log may quote statements and their data.
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = opened.map_err(Error::io("cannot open", &path))?;
        let length = file.metadata().map_err(Error::io("cannot read", &path))?.len();
        Ok((file, length))
    }

    /// Returns the last lines of the log after the byte offset `since`.
    pub(crate) fn log_tail(&self, since: u64) -> String {
        read_tail(&self.log_path(), since).unwrap_or_else(|e| format!("(the log cannot be read: {e})"))
    }

    /// Flushes the entries of the folder to disk, so that created and renamed files survive a power failure.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(Error::io("cannot sync", &self.path))
    }
}

/// Creates a folder if it does not exist. Other users may only traverse it: PostgreSQL may run as another user.
fn create(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(Error::io("cannot create", dir))?;
    // The mode above is subject to the umask.
    fs::set_permissions(dir, Permissions::from_mode(0o711))
        .map_err(Error::io("cannot change the mode of", dir))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(MARKER);
    let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
    let mut file = opened.map_err(|e| match (e.kind(), fs::metadata(folder)) {
        // Another user created the folder, most likely root.
        (io::ErrorKind::PermissionDenied, Ok(metadata)) => {
            Error::Owner { dir: folder.to_owned(), owner: metadata.uid(), user: account::current_user() }
        }
        _ => Error::io("cannot open", &path)(e),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::AlreadyRunning(folder.to_owned())),
        Err(TryLockError::Error(e)) => return Err(Error::io("cannot lock", &path)(e)),
    }
    if file.metadata().map_err(Error::io("cannot read", &path))?.len() == 0 {
        file.write_all(MARKER_TEXT.as_bytes()).map_err(Error::io("cannot write", &path))?;
    }
    Ok(file)
}

fn is_empty(dir: &Path) -> Result<bool, Error> {
    let mut entries = dir.read_dir().map_err(Error::io("cannot read", dir))?;
    Ok(entries.next().is_none())
}

fn read_tail(path: &Path, since: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(since.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines.into_iter().skip(last).collect::<Vec<_>>().join("\n"))
}
