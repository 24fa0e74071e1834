//! Log files of a bounded size: `nno.log`, and the older `nno.log.1` to `nno.log.5`.
//!
//! `tracing-appender` rotates by time only, and `file-rotate` panics when a file disappears, so neither fits.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use cli::output;

pub(crate) const FILE_NAME: &str = "nno.log";
/// Log lines name callers and their addresses, so only the owner may read them.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Limits of the files on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one file. A longer line gets a file to itself.
    pub(crate) file_bytes: u64,
    /// Number of older files.
    pub(crate) older_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 10 << 20, older_files: 5 }
    }
}

/// The current log file, which rotates before it grows beyond its limit.
#[derive(Debug)]
pub(crate) struct LogFile {
    dir: PathBuf,
    limits: Limits,
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Opens the current file in `dir` to append to it. Creates both if they do not exist.
    ///
    /// # Errors
    /// When the directory or the file cannot be created or opened.
    pub(crate) fn open(dir: &Path, limits: Limits) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
        let file = open(&dir.join(FILE_NAME))?;
        let bytes = file.metadata()?.len();
        Ok(Self { dir: dir.to_owned(), limits, file, bytes })
    }

    /// Appends one line, and rotates first if the line does not fit into the current file.
    ///
    /// # Errors
    /// When the files cannot be rotated or written. The line is then lost, which keeps the bound on the size.
    pub(crate) fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(length) > self.limits.file_bytes {
            self.rotate()?;
        }
        self.bytes += length;
        self.file.write_all(line)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // From the oldest, which is overwritten, to the newest.
        for number in (0..self.limits.older_files).rev() {
            match fs::rename(self.path(number), self.path(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = open(&self.path(0))?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }

    /// Path of the current file (0) or of an older one.
    fn path(&self, number: usize) -> PathBuf {
        match number {
            0 => self.dir.join(FILE_NAME),
            number => self.dir.join(format!("{FILE_NAME}.{number}")),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// Writer of log lines: to the log file, and to stderr if wanted.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    file: Arc<Mutex<Monitored>>,
    to_stderr: bool,
}

#[derive(Debug)]
struct Monitored {
    file: LogFile,
    /// True after a failed write, so that one outage is reported once.
    failing: bool,
}

impl LogWriter {
    pub(crate) fn new(file: LogFile, to_stderr: bool) -> Self {
        Self { file: Arc::new(Mutex::new(Monitored { file, failing: false })), to_stderr }
    }
}

/// Never fails: the caller can neither repeat the line nor log the failure.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.to_stderr {
            let _ = io::stderr().write_all(line);
        }
        let mut log = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = log.file.write_line(line);
        let failed_before = std::mem::replace(&mut log.failing, outcome.is_err());
        if let (Err(error), false) = (outcome, failed_before) {
            output::print_note(format_args!(
                "cannot write log lines to {}: {error}",
                log.file.path(0).display()
            ));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const LIMITS: Limits = Limits { file_bytes: 20, older_files: 2 };

    fn texts(dir: &TempDir) -> Vec<(String, String)> {
        let mut entries: Vec<_> = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        entries.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn rotation_bounds_the_size_and_the_number_of_files() {
        let dir = TempDir::new().unwrap();
        let mut log = LogFile::open(dir.path(), LIMITS).unwrap();
        for n in 0..9 {
            log.write_line(format!("line {n:04}\n").as_bytes()).unwrap();
        }
        let expected = [
            ("nno.log", "line 0008\n"),
            ("nno.log.1", "line 0006\nline 0007\n"),
            ("nno.log.2", "line 0004\nline 0005\n"),
        ];
        assert_eq!(texts(&dir), pairs(&expected));
    }

    #[test]
    fn reopened_file_is_appended_to_and_counts_its_bytes() {
        let dir = TempDir::new().unwrap();
        for n in 0..3 {
            LogFile::open(dir.path(), LIMITS)
                .unwrap()
                .write_line(format!("line {n:04}\n").as_bytes())
                .unwrap();
        }
        let expected = [("nno.log", "line 0002\n"), ("nno.log.1", "line 0000\nline 0001\n")];
        assert_eq!(texts(&dir), pairs(&expected));
    }

    #[test]
    fn line_longer_than_the_limit_gets_a_file_to_itself() {
        let dir = TempDir::new().unwrap();
        let mut log = LogFile::open(dir.path(), LIMITS).unwrap();
        let long = format!("{}\n", "x".repeat(30));
        for line in ["short\n", &long, "short\n"] {
            log.write_line(line.as_bytes()).unwrap();
        }
        let expected = [("nno.log", "short\n"), ("nno.log.1", &long), ("nno.log.2", "short\n")];
        assert_eq!(texts(&dir), pairs(&expected));
    }

    #[test]
    fn only_the_owner_can_read_log_files() {
        let parent = TempDir::new().unwrap();
        let dir = parent.path().join("logs");
        DirBuilder::new().create(&dir).unwrap();
        fs::write(dir.join(FILE_NAME), "old\n").unwrap();
        fs::set_permissions(dir.join(FILE_NAME), Permissions::from_mode(0o644)).unwrap();
        let mut log = LogFile::open(&dir, LIMITS).unwrap();
        log.write_line(&[b'x'; 20]).unwrap();
        for name in ["nno.log", "nno.log.1"] {
            assert_eq!(dir.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn failed_rotation_loses_lines_but_keeps_the_bound() {
        let dir = TempDir::new().unwrap();
        let mut log = LogFile::open(dir.path(), LIMITS).unwrap();
        log.write_line(&[b'x'; 20]).unwrap();
        // A directory that is not empty cannot be renamed over by a file.
        fs::create_dir_all(dir.path().join("nno.log.1/blocked")).unwrap();
        fs::create_dir_all(dir.path().join("nno.log.2/blocked")).unwrap();
        log.write_line(b"lost\n").unwrap_err();
        assert_eq!(dir.path().join(FILE_NAME).metadata().unwrap().len(), 20);
        for older in ["nno.log.1", "nno.log.2"] {
            fs::remove_dir_all(dir.path().join(older)).unwrap();
        }
        log.write_line(b"kept\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(FILE_NAME)).unwrap(), "kept\n");
    }
}
