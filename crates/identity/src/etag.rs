//! Strong entity tags: a digest of what is answered, so that no column has to be kept for them.

use domain::{Error, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The tag of a thing as it is answered.
///
/// # Errors
/// When the thing cannot be written as JSON.
pub fn of(thing: &impl Serialize) -> Result<String> {
    Ok(of_bytes(&serde_json::to_vec(thing).map_err(Error::internal)?))
}

/// Whether a list of tags, as `If-None-Match` has it, names this one, or is `*`, which names any. Weak tags count: a
/// body is never sent in parts.
pub fn lists(list: &str, tag: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

/// The tag of a body.
pub fn of_bytes(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}
