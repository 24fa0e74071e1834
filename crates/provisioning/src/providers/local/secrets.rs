//! Secrets of a worker: one file in the folder of the worker that only this user can read. The values are stored
//! nowhere else.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durable;
use super::root_dir::{LockedTarget, TargetPaths};
use crate::providers::error_context::ErrorContext as _;
use crate::providers::{DestroyOutcome, ObservedState, ProviderError, SecretName};

const FILE: &str = "secrets.json";

/// Number of random bytes in a generated value.
const GENERATED_BYTES: usize = 32;

/// Stored secret. Has no `Debug`, which would print the value.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredSecret {
    id: String,
    value: String,
    /// Unix milliseconds.
    set_at: i64,
}

type Secrets = BTreeMap<String, StoredSecret>;

/// Sets the secret `name` of the locked worker to `value`. Without `value`, keeps the existing value or generates a
/// random one.
pub(super) fn ensure(
    target: &LockedTarget,
    name: &SecretName,
    value: Option<&str>,
    now: i64,
) -> Result<ObservedState, ProviderError> {
    let paths = target.paths();
    if !paths.exists()? {
        return Err(paths.missing());
    }
    let mut secrets = read(paths)?;
    let present = secrets.get(name.as_str());
    let unchanged = present.is_some_and(|stored| value.is_none_or(|value| stored.value == value));
    if !unchanged {
        let id = present.map_or_else(|| Uuid::now_v7().to_string(), |stored| stored.id.clone());
        let value = value.map_or_else(generated, str::to_owned);
        secrets.insert(name.to_string(), StoredSecret { id, value, set_at: now });
        write(paths, &secrets)?;
    }
    secrets.get(name.as_str()).map(|stored| observed(paths, stored)).ok_or_else(|| paths.missing())
}

/// Removes the secret `name` from the locked worker.
pub(super) fn destroy(target: &LockedTarget, name: &SecretName) -> Result<DestroyOutcome, ProviderError> {
    let mut secrets = read(target.paths())?;
    match secrets.remove(name.as_str()) {
        Some(_) => write(target.paths(), &secrets).map(|()| DestroyOutcome::Removed),
        None => Ok(DestroyOutcome::Absent),
    }
}

/// Returns the state of the secret `name`, without its value, or `None` if it does not exist.
pub(super) fn observe(
    paths: &TargetPaths,
    name: &SecretName,
) -> Result<Option<ObservedState>, ProviderError> {
    Ok(read(paths)?.get(name.as_str()).map(|stored| observed(paths, stored)))
}

/// Returns all secrets of a worker, for the process that runs it.
pub(super) fn reveal(paths: &TargetPaths) -> Result<BTreeMap<String, SecretString>, ProviderError> {
    Ok(read(paths)?.into_iter().map(|(name, stored)| (name, stored.value.into())).collect())
}

fn observed(paths: &TargetPaths, stored: &StoredSecret) -> ObservedState {
    let details = serde_json::json!({ "worker": paths.name.as_str(), "setAt": stored.set_at });
    ObservedState::new(stored.id.clone(), details)
}

fn read(paths: &TargetPaths) -> Result<Secrets, ProviderError> {
    let path = paths.folder.join(FILE);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(Secrets::new()) };
    // The error of the parser is not included, because it may quote the file.
    serde_json::from_slice(&text)
        .map_err(|e| ProviderError::permanent(format!("{} is damaged at line {}", path.display(), e.line())))
}

fn write(paths: &TargetPaths, secrets: &Secrets) -> Result<(), ProviderError> {
    let path = paths.folder.join(FILE);
    let text = serde_json::to_vec_pretty(secrets).during(|| format!("writing {}", path.display()))?;
    durable::replace_file(&path, &text)
}

fn generated() -> String {
    let mut bytes = [0; GENERATED_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
