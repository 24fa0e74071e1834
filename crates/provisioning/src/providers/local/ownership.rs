//! The file in a target's folder that says whose it is. It is written into the folder before the folder gets its name.

use std::path::Path;

use super::durable;
use crate::providers::fault::ErrorContext as _;
use crate::providers::{Owner, ProviderError};

const FILE: &str = "nno-owner.json";

/// Keeps the owner of the target in `folder`. The caller holds the target.
pub(super) fn record(folder: &Path, owner: &Owner) -> Result<(), ProviderError> {
    let path = folder.join(FILE);
    let text = serde_json::to_vec_pretty(owner).during(|| format!("writing {}", path.display()))?;
    durable::replace_file(&path, &text)
}

/// The owner that is kept in `folder`; `None` if there is none, as in a folder from before owners were kept.
pub(super) fn recorded(folder: &Path) -> Result<Option<Owner>, ProviderError> {
    let path = folder.join(FILE);
    let Some(text) = durable::read_if_any(&path)? else { return Ok(None) };
    serde_json::from_slice(&text).during(|| format!("reading {}", path.display())).map(Some)
}
