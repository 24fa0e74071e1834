use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::{Uid, User, geteuid};
use tokio::process::Command;

use crate::binaries::Binaries;
use crate::error::Error;

/// `nobody` on Linux, for systems whose user list does not have it.
const NOBODY: (u32, u32) = (65534, 65534);

/// The user PostgreSQL's processes run as.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    name: String,
    /// User and group id to change to; `None` to stay who we are.
    switch: Option<(u32, u32)>,
}

impl Account {
    /// Ourselves; but for root the owner of an existing cluster, else the user `postgres`, else `nobody`.
    ///
    /// # Errors
    /// [`Error::Owner`] if the cluster belongs to root, or to somebody else and we are not root.
    pub(crate) fn choose(cluster: &Path) -> Result<Self, Error> {
        let me = geteuid();
        let owner = match fs::metadata(cluster) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("cannot read", cluster)(e)),
        };
        let account = if me.is_root() {
            match owner {
                Some(ids) if ids.0 != 0 => Self { name: user_name(ids.0), switch: Some(ids) },
                _ => Self::unprivileged(),
            }
        } else {
            Self { name: own_name(), switch: None }
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

    /// Makes a file or folder the user's own.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        match self.switch {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(Error::io("cannot change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// A command of this user: empty environment, no input, and a process group of its own, so that Ctrl-C in the
    /// terminal reaches only us, and we stop PostgreSQL in order.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        // Our own working directory may be closed to the user, and initdb insists on reading it.
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if let Some((uid, gid)) = self.switch {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Checks, by doing it, that the user can run the programs and enter the folder.
    ///
    /// # Errors
    /// [`Error::NotExecutable`], or [`Error::NotTraversable`] naming the outermost folder that is closed.
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

    /// The working directory is changed after the user, so this fails where the user may not go.
    async fn try_in(&self, program: &Path, dir: &Path) -> io::Result<()> {
        let mut command = self.command(program);
        let status = command.arg("--version").current_dir(dir).stdout(Stdio::null()).status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }
}

/// The user we run as ourselves.
pub(crate) fn own_name() -> String {
    user_name(geteuid().as_raw())
}

fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
