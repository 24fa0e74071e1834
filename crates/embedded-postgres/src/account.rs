use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::{Uid, User, geteuid};
use tokio::process::Command;

use crate::binaries::Binaries;
use crate::error::Error;

/// User and group id of `nobody` on Linux, for systems without an entry for it.
const NOBODY: (u32, u32) = (65534, 65534);

/// The operating system user that PostgreSQL runs as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    name: String,
    /// User and group id to switch to. `None` keeps the current user.
    switch: Option<(u32, u32)>,
}

impl Account {
    /// Selects the current user. If that is root, selects the owner of the existing cluster, else the user `postgres`,
    /// else `nobody`.
    ///
    /// # Errors
    /// [`Error::Owner`] if the cluster belongs to root, or to another user and the current user is not root.
    pub(crate) fn choose(cluster: &Path) -> Result<Self, Error> {
        let current = geteuid();
        let owner = match fs::metadata(cluster) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("cannot read", cluster)(e)),
        };
        let account = if current.is_root() {
            match owner {
                Some(ids) if ids.0 != 0 => Self { name: user_name(ids.0), switch: Some(ids) },
                _ => Self::unprivileged(),
            }
        } else {
            Self { name: current_user(), switch: None }
        };
        match owner {
            Some((uid, _)) if uid != account.uid() => {
                Err(Error::Owner { dir: cluster.to_owned(), owner: uid, user: account.name })
            }
            _ => Ok(account),
        }
    }

    fn unprivileged() -> Self {
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Self { name: name.to_owned(), switch: Some((user.uid.as_raw(), user.gid.as_raw())) };
            }
        }
        Self { name: user_name(NOBODY.0), switch: Some(NOBODY) }
    }

    fn uid(&self) -> u32 {
        self.switch.map_or_else(|| geteuid().as_raw(), |(uid, _)| uid)
    }

    /// Changes the owner of a file or folder to this user.
    pub(crate) fn take_ownership(&self, path: &Path) -> Result<(), Error> {
        match self.switch {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(Error::io("cannot change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Returns a command that runs as this user, with an empty environment, no input and its own process group. Ctrl-C
    /// in the terminal then reaches only this process, which stops PostgreSQL cleanly.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        // The user may lack access to the current working directory, and initdb fails if it cannot read it.
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if let Some((uid, gid)) = self.switch {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Checks that the user can run the programs and enter the folder, by trying both.
    ///
    /// # Errors
    /// [`Error::NotExecutable`], or [`Error::NotTraversable`] with the outermost folder that the user cannot enter.
    pub(crate) async fn check_access(&self, binaries: &Binaries, folder: &Path) -> Result<(), Error> {
        if self.switch.is_none() {
            return Ok(());
        }
        let program = binaries.postgres();
        if let Err(source) = self.try_in(&program, Path::new("/")).await {
            return Err(Error::NotExecutable { program, user: self.name.clone(), source });
        }
        let mut from_root: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
        from_root.reverse();
        if self.try_in(&program, folder).await.is_ok() {
            return Ok(());
        }
        for dir in from_root {
            if self.try_in(&program, &dir).await.is_err() {
                return Err(Error::NotTraversable { dir, user: self.name.clone() });
            }
        }
        Ok(())
    }

    /// Runs the program in a directory. The process switches users first and then changes the directory, so this fails
    /// if the user cannot enter it.
    async fn try_in(&self, program: &Path, dir: &Path) -> io::Result<()> {
        let mut command = self.command(program);
        let status = command.arg("--version").current_dir(dir).stdout(Stdio::null()).status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }
}

/// Returns the name of the current user.
pub(crate) fn current_user() -> String {
    user_name(geteuid().as_raw())
}

fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
