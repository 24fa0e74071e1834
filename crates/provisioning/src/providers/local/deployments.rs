//! Workers and pages: the bundles deployed to them, and which one is current.
//!
//! A bundle is unpacked once, under the hash of its content, and never changed; the file `current` names the one that
//! is served. So going back to an earlier bundle is one rename, and a reader always finds a whole one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::place::{Held, Spot};
use super::{durable, identity};
use crate::providers::bundle::hex;
use crate::providers::fault::ErrorContext as _;
use crate::providers::{Binding, Bundle, ObservedState, ProviderError};

/// How many deployments are kept to go back to, the current one included.
pub const MAX_DEPLOYMENTS: usize = 10;

const DEPLOYMENTS: &str = "deployments";
const CURRENT: &str = "current";
const FILES: &str = "files";
const MANIFEST: &str = "manifest.json";

/// A bundle that has been unpacked on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// What was deployed.
    pub manifest: Manifest,
    /// The folder its files are in.
    pub files: PathBuf,
}

/// What a deployment consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`Bundle::hash`].
    pub hash: String,
    /// The path of the file that is served or run first.
    pub entry: String,
    /// What the code may reach, by the name it has in the code.
    pub bindings: BTreeMap<String, Binding>,
    /// The files by path.
    pub files: BTreeMap<String, FileInfo>,
    /// When it was first deployed here, in Unix milliseconds.
    pub deployed_at: i64,
}

/// What is known of a file of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content, in hexadecimal digits.
    pub sha256: String,
}

/// Makes `bundle` the current deployment of the held worker or pages, making that if need be.
pub(super) fn ensure(held: &Held, bundle: &Bundle, now: i64) -> Result<ObservedState, ProviderError> {
    held.build(|folder| {
        identity::claim(folder, now)?;
        deploy(folder, bundle, now)
    })?;
    let spot = held.spot();
    identity::claim(&spot.folder, now)?;
    deploy(&spot.folder, bundle, now)?;
    prune(&spot.folder)?;
    observe(spot)?.ok_or_else(|| spot.missing())
}

/// What is deployed, or `None` if the worker or pages does not exist.
pub(super) fn observe(spot: &Spot) -> Result<Option<ObservedState>, ProviderError> {
    let Some(id) = identity::read(&spot.folder)? else { return Ok(None) };
    let current = current(spot)?;
    let details = serde_json::json!({
        "deployment": current.as_ref().map(|current| &current.manifest.hash),
        "entry": current.as_ref().map(|current| &current.manifest.entry),
        "path": current.as_ref().map(|current| &current.files),
        "createdAt": id.created_at,
    });
    Ok(Some(ObservedState::new(id.id, details)))
}

/// The current deployment, if there is one.
pub(super) fn current(spot: &Spot) -> Result<Option<Deployment>, ProviderError> {
    let Some(hash) = pointer(&spot.folder)? else { return Ok(None) };
    let folder = spot.folder.join(DEPLOYMENTS).join(hash);
    Ok(manifest(&folder)?.map(|manifest| Deployment { manifest, files: folder.join(FILES) }))
}

/// Unpacks `bundle` into the folder of a worker, unless it has been already, and points to it.
fn deploy(folder: &Path, bundle: &Bundle, now: i64) -> Result<(), ProviderError> {
    let hash = bundle.hash();
    let deployments = folder.join(DEPLOYMENTS);
    let unpacked = deployments.join(&hash);
    if manifest(&unpacked)?.is_none() {
        let action = || format!("unpacking {}", unpacked.display());
        let staging = deployments.join(format!(".{hash}.new"));
        let unpack = || -> io::Result<()> {
            durable::remove_tree_if_any(&staging)?;
            write_files(&staging, bundle, &hash, now)?;
            durable::sync_tree(&staging)?;
            fs::rename(&staging, &unpacked)?;
            durable::sync_folder(&deployments)
        };
        unpack().during(action)?;
    }
    if pointer(folder)?.as_ref() != Some(&hash) {
        durable::replace_file(&folder.join(CURRENT), hash.as_bytes())?;
    }
    Ok(())
}

/// Writes a deployment into the new folder `staging`.
fn write_files(staging: &Path, bundle: &Bundle, hash: &str, now: i64) -> io::Result<()> {
    let root = staging.join(FILES);
    fs::create_dir_all(&root)?;
    let mut files = BTreeMap::new();
    for (path, content) in bundle.files() {
        let file = root.join(path);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&file, content)?;
        let info = FileInfo { size: content.len() as u64, sha256: hex(&Sha256::digest(content)) };
        files.insert(path.clone(), info);
    }
    let manifest = Manifest {
        hash: hash.to_owned(),
        entry: bundle.entry().to_owned(),
        bindings: bundle.bindings().clone(),
        files,
        deployed_at: now,
    };
    fs::write(staging.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)
}

/// Removes the oldest deployments beyond [`MAX_DEPLOYMENTS`], and what a crash has left of unpacking one.
fn prune(folder: &Path) -> Result<(), ProviderError> {
    let current = pointer(folder)?;
    let mut earlier = Vec::new();
    for path in durable::entries(&folder.join(DEPLOYMENTS))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') {
            remove(&path)?;
        } else if is_hash(name) && current.as_deref() != Some(name) {
            // One without a manifest cannot be gone back to: it goes first.
            let deployed_at = manifest(&path)?.map(|manifest| manifest.deployed_at);
            earlier.push((deployed_at, path));
        }
    }
    earlier.sort_unstable();
    let surplus = earlier.len().saturating_sub(MAX_DEPLOYMENTS - 1);
    earlier.iter().take(surplus).try_for_each(|(_, path)| remove(path))
}

fn remove(path: &Path) -> Result<(), ProviderError> {
    durable::remove_tree_if_any(path).during(|| format!("removing {}", path.display()))
}

/// The hash of the current deployment.
fn pointer(folder: &Path) -> Result<Option<String>, ProviderError> {
    let text = durable::read_if_any(&folder.join(CURRENT))?;
    Ok(text.and_then(|text| String::from_utf8(text).ok()).filter(|hash| is_hash(hash)))
}

/// Guards the path made from a pointer that somebody has written into.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn manifest(folder: &Path) -> Result<Option<Manifest>, ProviderError> {
    let path = folder.join(MANIFEST);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).during(|| format!("reading {}", path.display())).map(Some)
}
