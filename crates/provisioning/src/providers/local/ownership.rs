//! Owner file in the folder of a target. It is written before the folder gets its final name.

use std::path::Path;

use super::durable;
use crate::providers::error_context::ErrorContext as _;
use crate::providers::{Owner, ProviderError};

const FILE: &str = "nno-owner.json";

/// Stores the owner of the target in `folder`. The caller holds the lock of the target.
pub(super) fn record(folder: &Path, owner: &Owner) -> Result<(), ProviderError> {
    let path = folder.join(FILE);
    let text = serde_json::to_vec_pretty(owner).during(|| format!("writing {}", path.display()))?;
    durable::replace_file(&path, &text)
}

/// Returns the owner stored in `folder`, or `None` if there is none, as in folders of older versions.
pub(super) fn recorded(folder: &Path) -> Result<Option<Owner>, ProviderError> {
    let path = folder.join(FILE);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).during(|| format!("reading {}", path.display())).map(Some)
}
