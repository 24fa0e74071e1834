//! The operator's key.

use anyhow::{Result, ensure};
use runtime::config::Secret;
use secrecy::ExposeSecret;

use super::folder::DataFolder;
use cli::say;

const SHORTEST: usize = 16;

/// The one that was given, else the one in the data folder as it is now. One that has to be made is told.
///
/// # Errors
/// When the one that was given is none, or the file cannot be read or written.
pub(crate) fn key(given: Option<&Secret>, folder: &DataFolder) -> Result<Secret> {
    if let Some(given) = given {
        let key = given.expose();
        ensure!(
            key.len() >= SHORTEST && key.bytes().all(|c| c.is_ascii_graphic()),
            "the operator's key (NNO_OPERATOR_KEY) must be {SHORTEST} or more printable ASCII characters without spaces"
        );
        return Ok(given.clone());
    }
    let kept = folder.operator_key()?;
    let key = kept.value.expose_secret();
    if kept.new {
        let path = folder.operator_key_path();
        say::line(format_args!("operator key: {key} (made now, and kept in {})", path.display()));
    }
    Ok(Secret::new(key))
}
