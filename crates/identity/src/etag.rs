//! Strong entity tags. Each is a digest of the response body, so that no table needs a column for it.

use domain::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Returns the tag of a value, from its JSON representation.
///
/// # Errors
/// When the value cannot be serialized.
pub fn of(value: &impl Serialize) -> Result<String> {
    Ok(of_bytes(&serde_json::to_vec(value).map_err(Error::internal)?))
}

/// Returns true if an `If-None-Match` header lists this tag or is `*`. Weak tags match too, because a body is never
/// sent in parts.
pub fn matches(list: &str, tag: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

/// Returns the tag of a body.
pub fn of_bytes(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
