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

/// macOS has no C.UTF-8; its C locale has the same collation order.
const LOCALE: &str = if cfg!(target_os = "macos") { "C" } else { "C.UTF-8" };

/// Creates the cluster in a temporary folder and renames it, so that a crash leaves a complete cluster or none.
///
/// # Errors
/// [`Error::Initdb`] with the output of initdb.
pub(crate) async fn run(
    folder: &Folder,
    binaries: &Binaries,
    account: &Account,
    password: &SecretString,
    durable: bool,
) -> Result<(), Error> {
    // The name is unique: an initdb whose parent was killed may still write to the previous folder.
    let work = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(folder.path())
        .map_err(Error::io("cannot create a folder in", folder.path()))?;
    account.take_ownership(work.path())?;
    let password_file = write_password(work.path(), password, account)?;
    let created = work.path().join("cluster");
    let mut command = account.command(&binaries.initdb());
    command.arg("--pgdata").arg(&created).arg("--pwfile").arg(&password_file);
    command.args(["--username", SUPERUSER, "--auth", "scram-sha-256"]);
    command.args(["--encoding", "UTF8", "--locale", LOCALE, "--no-instructions"]);
    if !durable {
        command.arg("--no-sync");
    }
    let initdb = binaries.initdb();
    tracing::info!(folder = %folder.path().display(), version = binaries.major(), "creating a PostgreSQL cluster");
    let output = command.kill_on_drop(true).output().await.map_err(Error::io("cannot run", &initdb))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        return Err(Error::Initdb(format!("{}{}", String::from_utf8_lossy(&text), output.status)));
    }
    fs::rename(&created, folder.cluster()).map_err(Error::io("cannot rename", &created))?;
    folder.sync()
}

/// Removes the folders of interrupted initdb runs.
pub(crate) async fn remove_incomplete(folder: &Folder) -> Result<(), Error> {
    let entries = folder.path().read_dir().map_err(Error::io("cannot read", folder.path()))?;
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        tracing::warn!(path = %path.display(), "removing an incomplete cluster");
        orphan::stop(&path.join("cluster")).await?;
        remove(&path).await?;
    }
    Ok(())
}

/// Removes a folder. Retries while it is not empty, because an initdb whose parent was killed may still create files in
/// it.
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

/// Writes the password to a file: without a terminal that the other user can open, initdb accepts it in no other form.
fn write_password(dir: &Path, password: &SecretString, account: &Account) -> Result<PathBuf, Error> {
    let path = dir.join(PASSWORD_FILE);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    opened
        .and_then(|mut file| file.write_all(password.expose_secret().as_bytes()))
        .map_err(Error::io("cannot write", &path))?;
    account.take_ownership(&path)?;
    Ok(path)
}
