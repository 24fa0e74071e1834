//! The file in a target's folder that says whose it is, for targets that are not one SQLite file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durable;
use crate::providers::ProviderError;
use crate::providers::fault::ErrorContext as _;

const FILE: &str = "nno-meta.json";

/// Who a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    /// Made with the target; the same until it is destroyed.
    pub(super) id: String,
    /// Unix milliseconds.
    pub(super) created_at: i64,
}

/// The identity of the target in `folder`; a folder that has none gets one. The caller holds the target.
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

/// The identity of the target in `folder`, or `None` if there is no such folder or nobody has taken it over.
pub(super) fn read(folder: &Path) -> Result<Option<Identity>, ProviderError> {
    let path = folder.join(FILE);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).during(|| format!("reading {}", path.display())).map(Some)
}
