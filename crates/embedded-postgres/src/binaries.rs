use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::error::Error;

/// The oldest supported major version: the SQL and the server options require it.
const MINIMUM: u32 = 14;

/// Folders with one subfolder per installed version: (parent, prefix of the subfolder, rest of the path).
const INSTALLED: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one PostgreSQL installation.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds `initdb` and `postgres`, of version 14 or newer.
    ///
    /// With `explicit`, searches only that folder. Otherwise searches the folders of `PATH` (with symbolic links
    /// resolved, because the programs find their other files relative to themselves), then the folders that Debian, the
    /// PGDG packages and Homebrew install to, highest version first. `prefer_major`, the version of an existing
    /// cluster, takes precedence.
    ///
    /// # Errors
    /// [`Error::BinariesUnusable`] if `explicit` cannot be used, [`Error::BinariesNotFound`] if the search finds
    /// nothing.
    pub async fn find(explicit: Option<&Path>, prefer_major: Option<u32>) -> Result<Self, Error> {
        if let Some(dir) = explicit {
            return Self::explicit(dir).await;
        }
        let mut found = Vec::new();
        let mut searched = vec!["PATH".to_owned()];
        for dir in on_path() {
            found.extend(Self::probe(&dir).await.ok());
        }
        let mut installed = Vec::new();
        for &(parent, prefix, rest) in INSTALLED {
            searched.push(format!("{parent}/{prefix}*/{rest}"));
            for dir in versions_in(Path::new(parent), prefix, rest) {
                installed.extend(Self::probe(&dir).await.ok());
            }
        }
        installed.sort_by_key(|binaries| Reverse(binaries.major));
        found.append(&mut installed);
        choose(found, prefer_major)
            .ok_or_else(|| Error::BinariesNotFound { minimum: MINIMUM, searched: searched.join(", ") })
    }

    /// Returns the major version, such as 17.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Returns the folder of the programs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    async fn explicit(dir: &Path) -> Result<Self, Error> {
        let unusable = |reason| Error::BinariesUnusable { dir: dir.to_owned(), reason };
        let found = Self::probe(dir).await.map_err(unusable)?;
        if found.major < MINIMUM {
            return Err(unusable(format!(
                "it has version {}, but {MINIMUM} or newer is required",
                found.major
            )));
        }
        Ok(found)
    }

    /// Returns the programs in a folder, or the reason why they cannot be used.
    async fn probe(dir: &Path) -> Result<Self, String> {
        let postgres = dir.join("postgres");
        let real = postgres.canonicalize().map_err(|e| format!("{}: {e}", postgres.display()))?;
        let dir = real.parent().unwrap_or(dir).to_owned();
        if !dir.join("initdb").is_file() {
            return Err(format!("{} does not contain `initdb`", dir.display()));
        }
        let output = Command::new(&real)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| format!("{}: {e}", real.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let major = major(&text).ok_or_else(|| format!("{} --version: {text:?}", real.display()))?;
        Ok(Self { dir, major })
    }
}

fn choose(found: Vec<Binaries>, prefer_major: Option<u32>) -> Option<Binaries> {
    let mut usable: Vec<_> = found.into_iter().filter(|b| b.major >= MINIMUM).collect();
    // The sort is stable: only the preferred version moves.
    usable.sort_by_key(|b| Some(b.major) != prefer_major);
    usable.into_iter().next()
}

fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|dir| dir.is_absolute() && dir.join("postgres").is_file()).collect()
}

fn versions_in(parent: &Path, prefix: &str, rest: &str) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(rest))
        .filter(|dir| dir.join("postgres").is_file())
        .collect()
}

/// Parses the major version of "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" or "postgres (PostgreSQL)
/// 18beta1".
fn major(version: &str) -> Option<u32> {
    let number = version.split("(PostgreSQL)").nth(1)?.trim_start();
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_of_releases_and_betas_is_parsed() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(major("postgres (SomethingElse) 15\n"), None);
    }

    #[test]
    fn cluster_version_takes_precedence_over_the_search_order() {
        let binaries = |major| Binaries { dir: PathBuf::from(format!("/{major}")), major };
        let all = || vec![binaries(13), binaries(15), binaries(17)];
        assert_eq!(choose(all(), None).unwrap().major, 15);
        assert_eq!(choose(all(), Some(17)).unwrap().major, 17);
        assert_eq!(choose(all(), Some(16)).unwrap().major, 15);
        assert_eq!(choose(all(), Some(13)).unwrap().major, 15);
        assert!(choose(vec![binaries(13)], None).is_none());
    }

    #[tokio::test]
    async fn symlink_to_the_program_resolves_to_its_folder() {
        let real = Binaries::find(None, None).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(real.postgres(), dir.path().join("postgres")).unwrap();
        let found = Binaries::find(Some(dir.path()), None).await.unwrap();
        assert_eq!(found.dir(), real.dir());
    }

    #[tokio::test]
    async fn explicit_folder_without_the_programs_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(dir.path()), None).await.unwrap_err().to_string();
        assert!(error.contains("NNO_POSTGRES_BIN") && error.contains("postgres"), "{error}");
    }
}
