//! What `nno login` keeps: `nno/credentials.json` in the user's configuration folder, with a key for each address.

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
const OURS_ALONE: u32 = 0o700;
/// What the file must not grant.
const OTHERS: u32 = 0o077;

/// All that is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Where the last login was.
    pub(crate) current: Option<Address>,
    #[serde(default)]
    servers: BTreeMap<Address, Login>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Login {
    #[serde(serialize_with = "exposed")]
    key: Secret,
}

/// The one place where a key is written down.
fn exposed<S: Serializer>(key: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}

impl Kept {
    /// The key for an address.
    pub(crate) fn key(&self, address: &Address) -> Option<&Secret> {
        self.servers.get(address).map(|login| &login.key)
    }

    /// Keeps a key; the address is the current one from now on.
    pub(crate) fn keep(&mut self, address: &Address, key: Secret) {
        self.servers.insert(address.clone(), Login { key });
        self.current = Some(address.clone());
    }

    /// Forgets the key for an address, if there is one.
    pub(crate) fn forget(&mut self, address: &Address) -> bool {
        if self.current.as_ref() == Some(address) {
            self.current = None;
        }
        self.servers.remove(address).is_some()
    }

    /// Every address that a key is kept for.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.servers.keys().cloned().collect()
    }
}

/// Where it is kept.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The user's own; none where the environment names no home.
    pub(crate) fn of_user() -> Option<Self> {
        let absolute = |name| environment::text(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(Self { folder: config.join(FOLDER) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// What is kept; nothing if there is no file.
    ///
    /// # Errors
    /// When others can read the file, or it is not what [`Store::change`] wrote.
    pub(crate) fn read(&self) -> Result<Kept> {
        let path = self.path();
        let cannot = || format!("cannot read {}", path.display());
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::default()),
            Err(error) => return Err(error).with_context(cannot),
        };
        // Of the open file, so that it is not another one that is looked at.
        refuse_open_to_others(&path, file.metadata().with_context(cannot)?.permissions().mode())?;
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(cannot)?;
        // What serde says could repeat what is in the file.
        serde_json::from_str(&text).ok().with_context(|| {
            format!("{} is not as `nno login` writes it: remove it, and log in again", path.display())
        })
    }

    /// Changes what is kept: whole or not at all, and after whoever else is changing it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> Result<T> {
        let path = self.path();
        let cannot = || format!("cannot write {}", path.display());
        DirBuilder::new().recursive(true).mode(OURS_ALONE).create(&self.folder).with_context(cannot)?;
        let folder = File::open(&self.folder).with_context(cannot)?;
        folder.lock().with_context(cannot)?;
        let mut kept = self.read()?;
        let changed = change(&mut kept);
        write(&self.folder, &path, &kept).with_context(cannot)?;
        Ok(changed)
    }
}

fn refuse_open_to_others(path: &Path, mode: u32) -> Result<()> {
    if mode & OTHERS == 0 {
        return Ok(());
    }
    bail!(
        "{path} is open to other users of this machine (mode {mode:04o}), so it is not used: close it with `chmod 600 \
         {path}`, and if others may have read it, have its keys revoked",
        path = path.display(),
        mode = mode & 0o7777,
    )
}

fn write(folder: &Path, path: &Path, kept: &Kept) -> Result<()> {
    // It may have been made before us, and more open.
    fs::set_permissions(folder, Permissions::from_mode(OURS_ALONE))?;
    // Its mode is 0600.
    let mut file = NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, kept)?;
    writeln!(file)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store { folder: dir.path().join("config/nno") };
        (dir, store)
    }

    fn address(n: u8) -> Address {
        Address::parse(&format!("http://127.0.0.{n}:8080")).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn each_address_has_its_key_and_the_last_is_the_current_one() {
        let (_dir, store) = store();
        assert!(store.read().unwrap().addresses().is_empty());
        for n in [1, 2] {
            store.change(|kept| kept.keep(&address(n), Secret::new(format!("key-{n}")))).unwrap();
        }
        let kept = store.read().unwrap();
        assert_eq!(kept.current, Some(address(2)));
        assert_eq!(kept.key(&address(1)).unwrap().expose(), "key-1");
        assert_eq!(kept.key(&address(2)).unwrap().expose(), "key-2");
        assert!(kept.key(&address(3)).is_none());
        assert!(!format!("{kept:?}").contains("key-"), "{kept:?}");

        assert!(store.change(|kept| kept.forget(&address(2))).unwrap());
        assert!(!store.change(|kept| kept.forget(&address(2))).unwrap());
        let kept = store.read().unwrap();
        assert_eq!((kept.current.clone(), kept.addresses()), (None, vec![address(1)]));
    }

    #[test]
    fn it_is_for_us_alone_also_where_it_was_not() {
        let (_dir, store) = store();
        DirBuilder::new().recursive(true).mode(0o755).create(&store.folder).unwrap();
        store.change(|kept| kept.keep(&address(1), Secret::new("key"))).unwrap();
        assert_eq!((mode(&store.folder), mode(&store.path())), (0o700, 0o600));
        assert_eq!(store.folder.read_dir().unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_others_can_read_or_write_is_not_used() {
        let (_dir, store) = store();
        store.change(|kept| kept.keep(&address(1), Secret::new("key"))).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(store.path(), Permissions::from_mode(mode)).unwrap();
            for told in [store.read().unwrap_err(), store.change(|_| ()).unwrap_err()] {
                let told = format!("{told:#}");
                assert!(told.contains("chmod 600") && told.contains(&format!("{mode:04o}")), "{told}");
            }
        }
        fs::set_permissions(store.path(), Permissions::from_mode(0o400)).unwrap();
        store.read().unwrap();
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        let (_dir, store) = store();
        store.change(|_| ()).unwrap();
        for text in
            ["", "hush", r#"{"servers":{"http://x":{"key":17,"hush":1}}}"#, r#"{"servers":{"hush":{}}}"#]
        {
            fs::write(store.path(), text).unwrap();
            let told = format!("{:#}", store.read().unwrap_err());
            assert!(told.contains("log in again") && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn those_who_change_it_at_once_lose_nothing() {
        let (_dir, store) = store();
        let store = &store;
        std::thread::scope(|scope| {
            for n in 0..16 {
                scope.spawn(move || {
                    store.change(|kept| kept.keep(&address(n), Secret::new("key"))).unwrap();
                });
            }
        });
        assert_eq!(store.read().unwrap().addresses().len(), 16);
    }
}
