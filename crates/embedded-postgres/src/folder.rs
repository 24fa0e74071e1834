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

/// The folder `postgres/` under a data folder, while this process has it for itself.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked until closed, by the kernel, so that no crash leaves a lock behind.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and takes the lock.
    ///
    /// # Errors
    /// [`Error::Foreign`] for a folder with things in it that are not ours, [`Error::AlreadyRunning`] if another
    /// process has the lock.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        make(data_dir)?;
        let data_dir = data_dir.canonicalize().map_err(Error::io("cannot resolve", data_dir))?;
        let path = data_dir.join(NAME);
        make(&path)?;
        if !path.join(MARKER).is_file() && !is_empty(&path)? {
            return Err(Error::Foreign(path));
        }
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// As [`Folder::open`], but `None` if there is no such folder.
    pub(crate) fn open_existing(data_dir: &Path) -> Result<Option<Self>, Error> {
        if data_dir.join(NAME).is_dir() { Self::open(data_dir).map(Some) } else { Ok(None) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// PostgreSQL's data directory, which may not exist yet.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join("cluster")
    }

    /// The version the cluster was made by, as PostgreSQL writes it ("15"); `None` if there is no cluster yet.
    pub(crate) fn cluster_version(&self) -> Result<Option<String>, Error> {
        let file = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            // A cluster appears under its name only when complete, so this one was damaged.
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

    /// The log, opened for appending, and its present length in bytes. Set aside first when it is long.
    pub(crate) fn open_log(&self) -> Result<(File, u64), Error> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
            let old = self.path.join("postgres.log.1");
            fs::rename(&path, &old).map_err(Error::io("cannot set aside", &path))?;
        }
        // It may quote statements and their data.
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = opened.map_err(Error::io("cannot open", &path))?;
        let length = file.metadata().map_err(Error::io("cannot read", &path))?.len();
        Ok((file, length))
    }

    /// The last lines of the log written after the byte `since`.
    pub(crate) fn log_tail(&self, since: u64) -> String {
        read_tail(&self.log_path(), since).unwrap_or_else(|e| format!("(the log cannot be read: {e})"))
    }

    /// Makes what was renamed or made in the folder last through a power cut.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(Error::io("cannot sync", &self.path))
    }
}

/// Makes a folder, if it does not exist, that all may traverse and no more: PostgreSQL may run as another user.
fn make(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(Error::io("cannot make", dir))?;
    // Whatever the umask is.
    fs::set_permissions(dir, Permissions::from_mode(0o711)).map_err(Error::io("cannot open up", dir))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(MARKER);
    let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
    let mut file = opened.map_err(|e| match (e.kind(), fs::metadata(folder)) {
        // Somebody else's run, most likely one as root.
        (io::ErrorKind::PermissionDenied, Ok(metadata)) => {
            Error::Owner { dir: folder.to_owned(), owner: metadata.uid(), user: account::own_name() }
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
