use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::cluster::SUPERUSER;
use crate::error::Error;
use crate::folder::Folder;
use crate::orphan;

const PREFIX: &str = "initdb-";
const REMOVAL: Duration = Duration::from_secs(5);
const PASSWORD_FILE: &str = "password";

/// macOS has no C.UTF-8, and its C sorts the same.
const LOCALE: &str = if cfg!(target_os = "macos") { "C" } else { "C.UTF-8" };

/// Makes the cluster: beside its place, then renamed, so that a crash leaves either a whole cluster or none.
///
/// # Errors
/// [`Error::Initdb`] with what initdb said.
pub(crate) async fn run(
    folder: &Folder,
    binaries: &Binaries,
    account: &Account,
    password: &SecretString,
    durable: bool,
) -> Result<(), Error> {
    // Unique: an initdb whose parent was killed may still be at work in the last one.
    let work = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(folder.path())
        .map_err(Error::io("cannot make a folder in", folder.path()))?;
    account.give(work.path())?;
    let password_file = write_password(work.path(), password, account)?;
    let made = work.path().join("cluster");
    let mut command = account.command(&binaries.initdb());
    command.arg("--pgdata").arg(&made).arg("--pwfile").arg(&password_file);
    command.args(["--username", SUPERUSER, "--auth", "scram-sha-256"]);
    command.args(["--encoding", "UTF8", "--locale", LOCALE, "--no-instructions"]);
    if !durable {
        command.arg("--no-sync");
    }
    let initdb = binaries.initdb();
    tracing::info!(folder = %folder.path().display(), version = binaries.major(), "making a PostgreSQL cluster");
    let output = command.kill_on_drop(true).output().await.map_err(Error::io("cannot run", &initdb))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(Error::Initdb(format!("{}{}", String::from_utf8_lossy(&said), output.status)));
    }
    fs::rename(&made, folder.cluster()).map_err(Error::io("cannot rename", &made))?;
    folder.sync()
}

/// Removes what an initdb left that did not come to its end.
pub(crate) async fn remove_half_made(folder: &Folder) -> Result<(), Error> {
    let entries = folder.path().read_dir().map_err(Error::io("cannot read", folder.path()))?;
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        tracing::warn!(path = %path.display(), "removing a cluster that was not completely made");
        orphan::stop(&path.join("cluster")).await?;
        remove(&path).await?;
    }
    Ok(())
}

/// An initdb whose parent was killed may go on making files until it finds its folder gone.
async fn remove(path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + REMOVAL;
    loop {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("cannot remove", path)(e)),
            _ => return Ok(()),
        }
    }
}

/// A file, because initdb takes the password in no other way without a terminal that the other user could open.
fn write_password(dir: &Path, password: &SecretString, account: &Account) -> Result<PathBuf, Error> {
    let path = dir.join(PASSWORD_FILE);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    opened
        .and_then(|mut file| file.write_all(password.expose_secret().as_bytes()))
        .map_err(Error::io("cannot write", &path))?;
    account.give(&path)?;
    Ok(path)
}
