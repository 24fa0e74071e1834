//! Deployments of workers and pages.
//!
//! Each bundle is unpacked once, into a folder named after its hash, and never changed. The file `current` names the
//! active deployment. A rollback is therefore one rename, and a reader always finds a complete bundle.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::root_dir::{LockedTarget, TargetPaths};
use super::{durable, identity};
use crate::providers::bundle::hex;
use crate::providers::error_context::ErrorContext as _;
use crate::providers::{Binding, Bundle, ObservedState, ProviderError};

/// Number of retained deployments, including the current one.
pub const MAX_DEPLOYMENTS: usize = 10;

const DEPLOYMENTS: &str = "deployments";
const CURRENT: &str = "current";
const FILES: &str = "files";
const MANIFEST: &str = "manifest.json";

/// Bundle that is unpacked on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Contents of the deployment.
    pub manifest: Manifest,
    /// Folder that contains the files.
    pub files: PathBuf,
}

/// Description of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`Bundle::hash`].
    pub hash: String,
    /// Path of the file that is served or run first.
    pub entry: String,
    /// Bindings of the code, by variable name.
    pub bindings: BTreeMap<String, Binding>,
    /// The files by path.
    pub files: BTreeMap<String, FileInfo>,
    /// Time of the first deployment on this machine, in Unix milliseconds.
    pub deployed_at: i64,
}

/// Size and hash of a deployed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content in hexadecimal digits.
    pub sha256: String,
}

/// Makes `bundle` the current deployment of the locked worker or pages. Creates the target if it does not exist.
pub(super) fn ensure(
    target: &LockedTarget,
    bundle: &Bundle,
    now: i64,
) -> Result<ObservedState, ProviderError> {
    target.build(|folder| {
        identity::claim(folder, now)?;
        deploy(folder, bundle, now)
    })?;
    let paths = target.paths();
    identity::claim(&paths.folder, now)?;
    deploy(&paths.folder, bundle, now)?;
    prune(&paths.folder)?;
    observe(paths)?.ok_or_else(|| paths.missing())
}

/// Returns the state of the worker or pages, or `None` if it does not exist.
pub(super) fn observe(paths: &TargetPaths) -> Result<Option<ObservedState>, ProviderError> {
    let Some(id) = identity::read(&paths.folder)? else { return Ok(None) };
    let current = current(paths)?;
    let details = serde_json::json!({
        "deployment": current.as_ref().map(|current| &current.manifest.hash),
        "entry": current.as_ref().map(|current| &current.manifest.entry),
        "path": current.as_ref().map(|current| &current.files),
        "createdAt": id.created_at,
    });
    Ok(Some(ObservedState::new(id.id, details)))
}

/// Returns the current deployment, if there is one.
pub(super) fn current(paths: &TargetPaths) -> Result<Option<Deployment>, ProviderError> {
    let Some(hash) = pointer(&paths.folder)? else { return Ok(None) };
    let folder = paths.folder.join(DEPLOYMENTS).join(hash);
    Ok(manifest(&folder)?.map(|manifest| Deployment { manifest, files: folder.join(FILES) }))
}

/// Unpacks `bundle` into the folder of a worker, unless it is already unpacked, and makes it the current one.
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

/// Writes a deployment to the new folder `staging`.
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

/// Removes the oldest deployments beyond [`MAX_DEPLOYMENTS`] and the remains of interrupted unpacking.
fn prune(folder: &Path) -> Result<(), ProviderError> {
    let current = pointer(folder)?;
    let mut earlier = Vec::new();
    for path in durable::entries(&folder.join(DEPLOYMENTS))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') {
            remove(&path)?;
        } else if is_hash(name) && current.as_deref() != Some(name) {
            // A deployment without a manifest cannot be restored, so it is removed first.
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

/// Returns the hash of the current deployment.
fn pointer(folder: &Path) -> Result<Option<String>, ProviderError> {
    let text = durable::read_if_any(&folder.join(CURRENT))?;
    Ok(text.and_then(|text| String::from_utf8(text).ok()).filter(|hash| is_hash(hash)))
}

/// Returns true if the text is a hash. The pointer becomes part of a path, and another program may have written it.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn manifest(folder: &Path) -> Result<Option<Manifest>, ProviderError> {
    let path = folder.join(MANIFEST);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).during(|| format!("reading {}", path.display())).map(Some)
}
