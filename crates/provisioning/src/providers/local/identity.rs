//! Identity file in the folder of a target, for targets that are not a single SQLite file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durable;
use crate::providers::ProviderError;
use crate::providers::error_context::ErrorContext as _;

const FILE: &str = "nno-meta.json";

/// Identity of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    /// Generated with the target and stable until it is destroyed.
    pub(super) id: String,
    /// Time of creation in Unix milliseconds.
    pub(super) created_at: i64,
}

/// Returns the identity of the target in `folder`. Creates one if there is none. The caller holds the lock of the
/// target.
pub(super) fn claim(folder: &Path, now: i64) -> Result<Identity, ProviderError> {
    if let Some(identity) = read(folder)? {
        return Ok(identity);
    }
    let identity = Identity { id: Uuid::now_v7().to_string(), created_at: now };
    let path = folder.join(FILE);
    let text = serde_json::to_vec_pretty(&identity).during(|| format!("writing {}", path.display()))?;
    durable::replace_file(&path, &text)?;
    Ok(identity)
}

/// Returns the identity of the target in `folder`, or `None` if the folder does not exist or has no identity.
pub(super) fn read(folder: &Path) -> Result<Option<Identity>, ProviderError> {
    let path = folder.join(FILE);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).during(|| format!("reading {}", path.display())).map(Some)
}
