//! Stored credentials: `nno/credentials.json` in the user's configuration folder, with a key for each address.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, Permissions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use runtime::config::Secret;
use serde::{Deserialize, Serialize, Serializer};
use tempfile::NamedTempFile;

use super::{address::Address, environment};

const FOLDER: &str = "nno";
const FILE: &str = "credentials.json";
const OWNER_ONLY: u32 = 0o700;
/// Permissions of other users, which the file must not have.
const OTHERS: u32 = 0o077;

/// Content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Address of the last login.
    pub(crate) current: Option<Address>,
    #[serde(default)]
    servers: BTreeMap<Address, Login>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Login {
    #[serde(serialize_with = "exposed")]
    key: Secret,
}

/// Serializes a key. This is the only code that writes one.
fn exposed<S: Serializer>(key: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}

impl Credentials {
    /// Returns the key for an address.
    pub(crate) fn key(&self, address: &Address) -> Option<&Secret> {
        self.servers.get(address).map(|login| &login.key)
    }

    /// Stores a key and makes its address the current one.
    pub(crate) fn set(&mut self, address: &Address, key: Secret) {
        self.servers.insert(address.clone(), Login { key });
        self.current = Some(address.clone());
    }

    /// Removes the key for an address. Returns true if there was one.
    pub(crate) fn remove(&mut self, address: &Address) -> bool {
        if self.current.as_ref() == Some(address) {
            self.current = None;
        }
        self.servers.remove(address).is_some()
    }

    /// Returns every address with a stored key.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.servers.keys().cloned().collect()
    }
}

/// Location of the file.
#[derive(Debug)]
pub(crate) struct CredentialsStore {
    folder: PathBuf,
}

impl CredentialsStore {
    /// Returns the user's store, or `None` if the environment names no home folder.
    pub(crate) fn of_user() -> Option<Self> {
        let absolute = |name| environment::text(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(Self { folder: config.join(FOLDER) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Reads the credentials; none if there is no file.
    ///
    /// # Errors
    /// When other users have access to the file, or it is not in the format of [`CredentialsStore::update`].
    pub(crate) fn read(&self) -> Result<Credentials> {
        let path = self.path();
        let cannot = || format!("cannot read {}", path.display());
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Credentials::default()),
            Err(error) => return Err(error).with_context(cannot),
        };
        // Checks the open file, which cannot be replaced after the check.
        reject_open_to_others(&path, file.metadata().with_context(cannot)?.permissions().mode())?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(cannot)?;
        // The error of serde could repeat a key.
        serde_json::from_str(&text).ok().with_context(|| {
            format!("{} is not in the format of `nno login`: remove it, and log in again", path.display())
        })
    }

    /// Updates the file atomically and under a lock against other processes.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(crate) fn update<T>(&self, update: impl FnOnce(&mut Credentials) -> T) -> Result<T> {
        let path = self.path();
        let cannot = || format!("cannot write {}", path.display());
        DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(&self.folder).with_context(cannot)?;
        let folder = File::open(&self.folder).with_context(cannot)?;
        folder.lock().with_context(cannot)?;
        let mut credentials = self.read()?;
        let output = update(&mut credentials);
        write(&self.folder, &path, &credentials).with_context(cannot)?;
        Ok(output)
    }
}

fn reject_open_to_others(path: &Path, mode: u32) -> Result<()> {
    if mode & OTHERS == 0 {
        return Ok(());
    }
    bail!(
        "{path} is open to other users of this machine (mode {mode:04o}): restrict it with `chmod 600 {path}`, and revoke \
         its keys if others may have read them",
        path = path.display(),
        mode = mode & 0o7777,
    )
}

fn write(folder: &Path, path: &Path, credentials: &Credentials) -> Result<()> {
    // Another program may have created it with a wider mode.
    fs::set_permissions(folder, Permissions::from_mode(OWNER_ONLY))?;
    // Created with mode 0600.
    let mut file = NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, credentials)?;
    writeln!(file)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, CredentialsStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = CredentialsStore { folder: dir.path().join("config/nno") };
        (dir, store)
    }

    fn address(n: u8) -> Address {
        Address::parse(&format!("http://127.0.0.{n}:8080")).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn each_address_has_its_own_key_and_the_last_is_current() {
        let (_dir, store) = store();
        assert!(store.read().unwrap().addresses().is_empty());
        for n in [1, 2] {
            store
                .update(|credentials| credentials.set(&address(n), Secret::new(format!("key-{n}"))))
                .unwrap();
        }
        let credentials = store.read().unwrap();
        assert_eq!(credentials.current, Some(address(2)));
        assert_eq!(credentials.key(&address(1)).unwrap().expose(), "key-1");
        assert_eq!(credentials.key(&address(2)).unwrap().expose(), "key-2");
        assert!(credentials.key(&address(3)).is_none());
        assert!(!format!("{credentials:?}").contains("key-"), "{credentials:?}");

        assert!(store.update(|credentials| credentials.remove(&address(2))).unwrap());
        assert!(!store.update(|credentials| credentials.remove(&address(2))).unwrap());
        let credentials = store.read().unwrap();
        assert_eq!((credentials.current.clone(), credentials.addresses()), (None, vec![address(1)]));
    }

    #[test]
    fn folder_and_file_are_restricted_to_the_owner() {
        let (_dir, store) = store();
        DirBuilder::new().recursive(true).mode(0o755).create(&store.folder).unwrap();
        store.update(|credentials| credentials.set(&address(1), Secret::new("key"))).unwrap();
        assert_eq!((mode(&store.folder), mode(&store.path())), (0o700, 0o600));
        assert_eq!(store.folder.read_dir().unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn file_open_to_others_is_rejected() {
        let (_dir, store) = store();
        store.update(|credentials| credentials.set(&address(1), Secret::new("key"))).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(store.path(), Permissions::from_mode(mode)).unwrap();
            for error in [store.read().unwrap_err(), store.update(|_| ()).unwrap_err()] {
                let error = format!("{error:#}");
                assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
            }
        }
        fs::set_permissions(store.path(), Permissions::from_mode(0o400)).unwrap();
        store.read().unwrap();
    }

    #[test]
    fn malformed_file_is_not_quoted_in_the_error() {
        let (_dir, store) = store();
        store.update(|_| ()).unwrap();
        for text in
            ["", "hush", r#"{"servers":{"http://x":{"key":17,"hush":1}}}"#, r#"{"servers":{"hush":{}}}"#]
        {
            fs::write(store.path(), text).unwrap();
            let error = format!("{:#}", store.read().unwrap_err());
            assert!(error.contains("log in again") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn concurrent_updates_lose_nothing() {
        let (_dir, store) = store();
        let store = &store;
        std::thread::scope(|scope| {
            for n in 0..16 {
                scope.spawn(move || {
                    store.update(|credentials| credentials.set(&address(n), Secret::new("key"))).unwrap();
                });
            }
        });
        assert_eq!(store.read().unwrap().addresses().len(), 16);
    }
}
