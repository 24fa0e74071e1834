//! Bucket: objects on disk, one file each.
//!
//! The file of an object starts with a line of JSON metadata, followed by the content, so that one rename replaces
//! both. Its path is the encoded key. Every byte except `[a-z0-9_-]` is written as `%XX`, so that no key can be `..` or
//! hidden, or differ from another only by case. Keys longer than a file name are split into folders.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::root_dir::{LockedTarget, TargetPaths};
use super::{durable, identity};
use crate::providers::blocking;
use crate::providers::bundle::hex;
use crate::providers::error_context::{ErrorContext as _, from_io};
use crate::providers::{Clock, ObservedState, ProviderError};

/// Maximum length of a key in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// Content type of an object that was put without one.
pub const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

const OBJECTS: &str = "objects";
const STAGING: &str = "staging";

/// Age after which a staged object can only be the remains of a crash.
const ABANDONED: Duration = Duration::from_hours(24);

/// Maximum length of a file name. All supported file systems allow 255 bytes.
const MAX_NAME_BYTES: usize = 200;

/// Suffix of a folder that holds the rest of long keys. No encoded key contains it.
const CONTINUED: char = '+';

/// Characters to encode: all except `[a-z0-9_-]`.
const ENCODED: &AsciiSet = &{
    let mut set = NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    let mut letter = b'A';
    while letter <= b'Z' {
        set = set.add(letter);
        letter += 1;
    }
    set
};

/// Creates the locked bucket, or adopts the folder that exists.
pub(super) fn ensure(target: &LockedTarget, now: i64) -> Result<ObservedState, ProviderError> {
    target.build(|folder| identity::claim(folder, now).map(drop))?;
    let paths = target.paths();
    let id = identity::claim(&paths.folder, now)?;
    for part in [OBJECTS, STAGING] {
        let path = paths.folder.join(part);
        create_folder(&path).during(|| format!("creating {}", path.display()))?;
    }
    durable::sync_folder(&paths.folder).during(|| format!("writing {}", paths.folder.display()))?;
    sweep(&paths.folder.join(STAGING))?;
    Ok(observed(paths, &id))
}

/// Returns the state of the bucket, or `None` if it does not exist.
pub(super) fn observe(paths: &TargetPaths) -> Result<Option<ObservedState>, ProviderError> {
    Ok(identity::read(&paths.folder)?.map(|id| observed(paths, &id)))
}

fn observed(paths: &TargetPaths, id: &identity::Identity) -> ObservedState {
    let details = serde_json::json!({ "path": paths.folder, "createdAt": id.created_at });
    ObservedState::new(id.id.clone(), details)
}

/// Removes the remains of killed puts.
fn sweep(staging: &Path) -> Result<(), ProviderError> {
    for path in durable::entries(staging)? {
        let changed = fs::metadata(&path).and_then(|found| found.modified());
        let age = changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            durable::remove_file_if_any(&path).during(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    paths: TargetPaths,
    clock: Clock,
}

/// Metadata of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// Media type that the object was put with.
    pub content_type: String,
    /// SHA-256 of the content in hexadecimal digits.
    pub etag: String,
    /// Length of the content in bytes.
    pub size: u64,
    /// Time of the put in Unix milliseconds.
    pub uploaded_at: i64,
}

/// Object with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Metadata.
    pub info: ObjectInfo,
    /// Content.
    pub content: Vec<u8>,
}

/// Page of the objects of a bucket, ordered by the bytes of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects.
    pub objects: Vec<ObjectInfo>,
    /// Last key of this page if there are more.
    pub cursor: Option<String>,
}

impl Bucket {
    pub(super) fn new(paths: TargetPaths, clock: Clock) -> Self {
        Self { paths, clock }
    }

    /// Stores an object under `key`, atomically replacing an existing one. The object is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist or the key is empty or too long.
    pub async fn put(
        &self,
        key: &str,
        content: Vec<u8>,
        content_type: Option<&str>,
    ) -> Result<ObjectInfo, ProviderError> {
        let info = ObjectInfo {
            key: key.to_owned(),
            content_type: content_type.unwrap_or(DEFAULT_CONTENT_TYPE).to_owned(),
            etag: hex(&Sha256::digest(&content)),
            size: content.len() as u64,
            uploaded_at: self.clock.now(),
        };
        self.blocking(key, move |bucket, path| {
            let staged = bucket.stage(&info, &content)?;
            bucket.create_parents(&path)?;
            staged.persist(&path).map_err(|e| e.error)?;
            path.parent().map_or(Ok(()), durable::sync_folder)?;
            Ok(info)
        })
        .await
    }

    /// Returns the object under `key`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist or the object is damaged.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, ProviderError> {
        self.blocking(key, |_, path| {
            if_any(read_head(&path).and_then(|(info, mut rest)| {
                let mut content = Vec::new();
                rest.read_to_end(&mut content)?;
                if content.len() as u64 != info.size {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the object is damaged: its length does not match",
                    ));
                }
                Ok(Object { info, content })
            }))
        })
        .await
    }

    /// Returns the metadata of the object under `key`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist or the object is damaged.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ProviderError> {
        self.blocking(key, |_, path| if_any(read_head(&path).map(|(info, _)| info))).await
    }

    /// Removes the object under `key`. Returns true if it existed.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist.
    pub async fn delete(&self, key: &str) -> Result<bool, ProviderError> {
        self.blocking(key, |_, path| {
            let removed = if_any(fs::remove_file(&path))?.is_some();
            if removed {
                // Empty folders of long keys stay, because a concurrent put may be about to use them.
                path.parent().map_or(Ok(()), durable::sync_folder)?;
            }
            Ok(removed)
        })
        .await
    }

    /// Returns at most `limit` objects (at least one) whose keys start with `prefix`, after the key `cursor`.
    ///
    /// Reads every key of the bucket.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist or an object is damaged.
    pub async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<ObjectPage, ProviderError> {
        let (paths, prefix, cursor) = (self.paths.clone(), prefix.to_owned(), cursor.map(str::to_owned));
        blocking(move || {
            let list = || -> io::Result<ObjectPage> {
                let mut keys = Vec::new();
                collect_keys(&paths.folder.join(OBJECTS), "", &mut keys)?;
                keys.retain(|(key, _)| {
                    key.starts_with(&prefix) && cursor.as_ref().is_none_or(|after| key > after)
                });
                keys.sort_unstable();
                let more = keys.len() > limit.max(1);
                keys.truncate(limit.max(1));
                let cursor = keys.last().filter(|_| more).map(|(key, _)| key.clone());
                let mut objects = Vec::with_capacity(keys.len());
                for (_, path) in keys {
                    // Objects that were removed meanwhile are left out.
                    objects.extend(if_any(read_head(&path))?.map(|(info, _)| info));
                }
                Ok(ObjectPage { objects, cursor })
            };
            list().map_err(|e| or_missing(&paths, e))
        })
        .await
    }

    /// Runs `work` with the path of the object's file on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Self, PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Err(ProviderError::permanent(format!("a key must have 1 to {MAX_KEY_BYTES} bytes")));
        }
        let path = path_of(&self.paths.folder.join(OBJECTS), key);
        let this = self.clone();
        blocking(move || {
            if !this.paths.exists()? {
                return Err(this.paths.missing());
            }
            work(&this, path).map_err(|e| or_missing(&this.paths, e))
        })
        .await
    }

    /// Writes the file of an object to the staging folder.
    fn stage(&self, info: &ObjectInfo, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new_in(self.paths.folder.join(STAGING))?;
        let mut head = serde_json::to_vec(info)?;
        head.push(b'\n');
        file.write_all(&head)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Creates the parent folders for the file of a long key, but not the bucket itself, which may have been destroyed.
    fn create_parents(&self, path: &Path) -> io::Result<()> {
        let objects = self.paths.folder.join(OBJECTS);
        let parents = path.ancestors().skip(1).take_while(|parent| *parent != objects);
        for parent in parents.collect::<Vec<_>>().into_iter().rev() {
            if !parent.try_exists()? {
                create_folder(parent)?;
                parent.parent().map_or(Ok(()), durable::sync_folder)?;
            }
        }
        Ok(())
    }
}

/// Returns the path of the object under `key`.
fn path_of(objects: &Path, key: &str) -> PathBuf {
    let encoded = utf8_percent_encode(key, ENCODED).to_string();
    let mut path = objects.to_owned();
    let mut rest = encoded.as_str();
    // The encoded key is ASCII, so every index is a character boundary.
    while let Some((folder, after)) =
        rest.split_at_checked(MAX_NAME_BYTES).filter(|(_, after)| !after.is_empty())
    {
        path.push(format!("{folder}{CONTINUED}"));
        rest = after;
    }
    path.join(rest)
}

/// Collects the keys of the files below `folder`. `start` is the encoded prefix of those keys.
fn collect_keys(folder: &Path, start: &str, keys: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(name) = name.strip_suffix(CONTINUED) {
            collect_keys(&entry.path(), &format!("{start}{name}"), keys)?;
        } else if let Ok(key) = percent_decode_str(&format!("{start}{name}")).decode_utf8() {
            keys.push((key.into_owned(), entry.path()));
        }
    }
    Ok(())
}

/// Reads the metadata line of the file of an object and returns it with a reader of the content.
fn read_head(path: &Path) -> io::Result<(ObjectInfo, BufReader<File>)> {
    let mut file = BufReader::new(File::open(path)?);
    let mut head = Vec::new();
    file.read_until(b'\n', &mut head)?;
    let info = serde_json::from_slice(&head).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok((info, file))
}

fn create_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Converts a missing file to `None`.
fn if_any<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Converts an I/O error in a bucket. If the bucket was destroyed meanwhile, returns that error instead.
fn or_missing(paths: &TargetPaths, error: io::Error) -> ProviderError {
    match paths.exists() {
        Ok(false) => paths.missing(),
        _ => from_io(format_args!("using {}", paths.folder.display()), error),
    }
}
