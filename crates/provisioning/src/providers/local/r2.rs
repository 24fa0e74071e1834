//! A bucket: objects on disk, one file each.
//!
//! An object's file starts with a line of JSON that describes it, and its content follows: so one rename replaces both
//! together. Its path is its key, encoded: every byte but `[a-z0-9_-]` as `%XX`, so that no key can be `..`, be hidden,
//! or differ from another only by case; and cut into folders where it is longer than a file name may be.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::place::{Held, Spot};
use super::{durable, identity};
use crate::providers::blocking;
use crate::providers::bundle::hex;
use crate::providers::fault::{ErrorContext as _, of_io};
use crate::providers::{Clock, ObservedState, ProviderError};

/// The most bytes of a key.
pub const MAX_KEY_BYTES: usize = 1024;

/// The content type of an object that was put without one.
pub const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

const OBJECTS: &str = "objects";
const STAGING: &str = "staging";

/// How old a staged object is before it can only be what a crash has left.
const ABANDONED: Duration = Duration::from_hours(24);

/// File names are at most 255 bytes on every file system this runs on.
const MAX_NAME_BYTES: usize = 200;

/// Ends the name of a folder that holds the rest of long keys. No encoded key has it.
const CONTINUED: char = '+';

/// What is encoded: all but `[a-z0-9_-]`.
const ENCODED: &AsciiSet = &{
    let mut set = NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    let mut letter = b'A';
    while letter <= b'Z' {
        set = set.add(letter);
        letter += 1;
    }
    set
};

/// Makes the held bucket, or takes over the folder that is there.
pub(super) fn ensure(held: &Held, now: i64) -> Result<ObservedState, ProviderError> {
    held.build(|folder| identity::claim(folder, now).map(drop))?;
    let spot = held.spot();
    let id = identity::claim(&spot.folder, now)?;
    for part in [OBJECTS, STAGING] {
        let path = spot.folder.join(part);
        make_folder(&path).during(|| format!("making {}", path.display()))?;
    }
    durable::sync_folder(&spot.folder).during(|| format!("writing {}", spot.folder.display()))?;
    sweep(&spot.folder.join(STAGING))?;
    Ok(observed(spot, &id))
}

/// What the bucket says of itself, or `None` if there is none.
pub(super) fn observe(spot: &Spot) -> Result<Option<ObservedState>, ProviderError> {
    Ok(identity::read(&spot.folder)?.map(|id| observed(spot, &id)))
}

fn observed(spot: &Spot, id: &identity::Identity) -> ObservedState {
    let details = serde_json::json!({ "path": spot.folder, "createdAt": id.created_at });
    ObservedState::new(id.id.clone(), details)
}

/// Removes what puts that were killed have left.
fn sweep(staging: &Path) -> Result<(), ProviderError> {
    for path in durable::entries(staging)? {
        let changed = fs::metadata(&path).and_then(|found| found.modified());
        let age = changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            durable::remove_file_if_any(&path).during(|| format!("clearing away {}", path.display()))?;
        }
    }
    Ok(())
}

/// A bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    spot: Spot,
    clock: Clock,
}

/// What is known of an object without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// The media type it was put with.
    pub content_type: String,
    /// The SHA-256 of the content, in hexadecimal digits.
    pub etag: String,
    /// The length of the content in bytes.
    pub size: u64,
    /// When it was put, in Unix milliseconds.
    pub uploaded_at: i64,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What is known of it.
    pub info: ObjectInfo,
    /// Its content.
    pub content: Vec<u8>,
}

/// A part of a bucket's objects, in the order of the bytes of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects.
    pub objects: Vec<ObjectInfo>,
    /// Where to go on, if there is more: the last key of this page.
    pub cursor: Option<String>,
}

impl Bucket {
    pub(super) fn new(spot: Spot, clock: Clock) -> Self {
        Self { spot, clock }
    }

    /// Puts an object in place of what is under `key`, as a whole. It is on disk when this returns.
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
            bucket.make_parents(&path)?;
            staged.persist(&path).map_err(|e| e.error)?;
            path.parent().map_or(Ok(()), durable::sync_folder)?;
            Ok(info)
        })
        .await
    }

    /// The object under `key`.
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
                        "the object is damaged: its length is wrong",
                    ));
                }
                Ok(Object { info, content })
            }))
        })
        .await
    }

    /// What is known of the object under `key`.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist or the object is damaged.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectInfo>, ProviderError> {
        self.blocking(key, |_, path| if_any(read_head(&path).map(|(info, _)| info))).await
    }

    /// Removes the object under `key`; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], permanent if the bucket does not exist.
    pub async fn delete(&self, key: &str) -> Result<bool, ProviderError> {
        self.blocking(key, |_, path| {
            let removed = if_any(fs::remove_file(&path))?.is_some();
            if removed {
                // Folders of long keys stay, though empty: a put may be about to use them.
                path.parent().map_or(Ok(()), durable::sync_folder)?;
            }
            Ok(removed)
        })
        .await
    }

    /// At most `limit` objects (at least one) whose keys start with `prefix`, after the key `cursor`.
    ///
    /// Costs a look at every key of the bucket.
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
        let (spot, prefix, cursor) = (self.spot.clone(), prefix.to_owned(), cursor.map(str::to_owned));
        blocking(move || {
            let list = || -> io::Result<ObjectPage> {
                let mut keys = Vec::new();
                collect_keys(&spot.folder.join(OBJECTS), "", &mut keys)?;
                keys.retain(|(key, _)| {
                    key.starts_with(&prefix) && cursor.as_ref().is_none_or(|after| key > after)
                });
                keys.sort_unstable();
                let more = keys.len() > limit.max(1);
                keys.truncate(limit.max(1));
                let cursor = keys.last().filter(|_| more).map(|(key, _)| key.clone());
                let mut objects = Vec::with_capacity(keys.len());
                for (_, path) in keys {
                    // One that is gone by now is simply not in the list.
                    objects.extend(if_any(read_head(&path))?.map(|(info, _)| info));
                }
                Ok(ObjectPage { objects, cursor })
            };
            list().map_err(|e| or_missing(&spot, e))
        })
        .await
    }

    /// Runs `work` with the path of `key`'s file on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(&Self, PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProviderError> {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Err(ProviderError::permanent(format!("a key has 1 to {MAX_KEY_BYTES} bytes")));
        }
        let path = path_of(&self.spot.folder.join(OBJECTS), key);
        let this = self.clone();
        blocking(move || {
            if !this.spot.exists()? {
                return Err(this.spot.missing());
            }
            work(&this, path).map_err(|e| or_missing(&this.spot, e))
        })
        .await
    }

    /// Writes an object's file where no reader looks.
    fn stage(&self, info: &ObjectInfo, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new_in(self.spot.folder.join(STAGING))?;
        let mut head = serde_json::to_vec(info)?;
        head.push(b'\n');
        file.write_all(&head)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Makes the folders that the file of a long key is in, but never the bucket itself: it may have been destroyed.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let objects = self.spot.folder.join(OBJECTS);
        let parents = path.ancestors().skip(1).take_while(|parent| *parent != objects);
        for parent in parents.collect::<Vec<_>>().into_iter().rev() {
            if !parent.try_exists()? {
                make_folder(parent)?;
                parent.parent().map_or(Ok(()), durable::sync_folder)?;
            }
        }
        Ok(())
    }
}

/// Where the object under `key` is.
fn path_of(objects: &Path, key: &str) -> PathBuf {
    let encoded = utf8_percent_encode(key, ENCODED).to_string();
    let mut path = objects.to_owned();
    let mut rest = encoded.as_str();
    // The encoded key is ASCII: any cut is between two characters.
    while let Some((folder, after)) =
        rest.split_at_checked(MAX_NAME_BYTES).filter(|(_, after)| !after.is_empty())
    {
        path.push(format!("{folder}{CONTINUED}"));
        rest = after;
    }
    path.join(rest)
}

/// Adds the keys whose files are below `folder`, each of which starts with `start` once encoded.
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

/// Reads the first line of an object's file; the content follows.
fn read_head(path: &Path) -> io::Result<(ObjectInfo, BufReader<File>)> {
    let mut file = BufReader::new(File::open(path)?);
    let mut head = Vec::new();
    file.read_until(b'\n', &mut head)?;
    let info = serde_json::from_slice(&head).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok((info, file))
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Turns a missing file into `None`.
fn if_any<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What went wrong in a bucket; if it has been destroyed meanwhile, that is what.
fn or_missing(spot: &Spot, error: io::Error) -> ProviderError {
    match spot.exists() {
        Ok(false) => spot.missing(),
        _ => of_io(format_args!("using {}", spot.folder.display()), error),
    }
}
