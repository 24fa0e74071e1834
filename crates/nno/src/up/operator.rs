//! The operator's key.

use anyhow::{Result, ensure};
use runtime::config::Secret;
use secrecy::ExposeSecret;

use super::data_folder::DataFolder;

const MIN_LENGTH: usize = 16;

/// Returns the key that was given, else the one in the data folder as it is now, which is generated if there is none.
///
/// # Errors
/// When the given key is too short or has characters that a header cannot carry, or the file cannot be read or written.
pub(crate) fn key(given: Option<&Secret>, folder: &DataFolder) -> Result<Secret> {
    if let Some(given) = given {
        let key = given.expose();
        ensure!(
            key.len() >= MIN_LENGTH && key.bytes().all(|c| c.is_ascii_graphic()),
            "the operator's key (NNO_OPERATOR_KEY) must be {MIN_LENGTH} or more printable ASCII characters without spaces"
        );
        return Ok(given.clone());
    }
    let stored = folder.operator_key()?;
    if stored.created {
        tracing::debug!(path = %folder.operator_key_path().display(), "created the operator's key");
    }
    Ok(Secret::new(stored.value.expose_secret()))
}
