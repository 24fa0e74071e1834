//! The secrets of a worker: one file in the worker's folder, which only this user can read. Values are nowhere else.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore as _;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durable;
use super::place::{Held, Spot};
use crate::providers::fault::ErrorContext as _;
use crate::providers::{DestroyOutcome, ObservedState, ProviderError, SecretName};

const FILE: &str = "secrets.json";

/// The random bytes of a value that nobody has given.
const GENERATED_BYTES: usize = 32;

/// A kept secret. No `Debug`: it would show the value.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    id: String,
    value: String,
    /// Unix milliseconds.
    set_at: i64,
}

type Secrets = BTreeMap<String, Kept>;

/// Gives the held worker the secret `name`: with `value`, or else with the value it has, or else with a random one.
pub(super) fn ensure(
    held: &Held,
    name: &SecretName,
    value: Option<&str>,
    now: i64,
) -> Result<ObservedState, ProviderError> {
    let spot = held.spot();
    if !spot.exists()? {
        return Err(spot.missing());
    }
    let mut secrets = read(spot)?;
    let present = secrets.get(name.as_str());
    let unchanged = present.is_some_and(|kept| value.is_none_or(|value| kept.value == value));
    if !unchanged {
        let id = present.map_or_else(|| Uuid::now_v7().to_string(), |kept| kept.id.clone());
        let value = value.map_or_else(generated, str::to_owned);
        secrets.insert(name.to_string(), Kept { id, value, set_at: now });
        write(spot, &secrets)?;
    }
    secrets.get(name.as_str()).map(|kept| observed(spot, kept)).ok_or_else(|| spot.missing())
}

/// Takes the secret `name` from the held worker.
pub(super) fn destroy(held: &Held, name: &SecretName) -> Result<DestroyOutcome, ProviderError> {
    let mut secrets = read(held.spot())?;
    match secrets.remove(name.as_str()) {
        Some(_) => write(held.spot(), &secrets).map(|()| DestroyOutcome::Removed),
        None => Ok(DestroyOutcome::Absent),
    }
}

/// Says whether the worker has the secret `name`, without its value.
pub(super) fn observe(spot: &Spot, name: &SecretName) -> Result<Option<ObservedState>, ProviderError> {
    Ok(read(spot)?.get(name.as_str()).map(|kept| observed(spot, kept)))
}

/// All secrets of a worker, for the process that runs it.
pub(super) fn reveal(spot: &Spot) -> Result<BTreeMap<String, SecretString>, ProviderError> {
    Ok(read(spot)?.into_iter().map(|(name, kept)| (name, kept.value.into())).collect())
}

fn observed(spot: &Spot, kept: &Kept) -> ObservedState {
    let details = serde_json::json!({ "worker": spot.name.as_str(), "setAt": kept.set_at });
    ObservedState::new(kept.id.clone(), details)
}

fn read(spot: &Spot) -> Result<Secrets, ProviderError> {
    let path = spot.folder.join(FILE);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(Secrets::new()) };
    // Not the words of the parser: they may quote what it read.
    serde_json::from_slice(&text)
        .map_err(|e| ProviderError::permanent(format!("{} is damaged at line {}", path.display(), e.line())))
}

fn write(spot: &Spot, secrets: &Secrets) -> Result<(), ProviderError> {
    let path = spot.folder.join(FILE);
    let text = serde_json::to_vec_pretty(secrets).during(|| format!("writing {}", path.display()))?;
    durable::replace_file(&path, &text)
}

fn generated() -> String {
    let mut bytes = [0; GENERATED_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
