//! What is deployed to a worker or a pages site.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{ProviderError, ResourceKind, ResourceName};

/// The most bytes the files of one bundle may have together.
pub const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// Files to deploy, which of them is served first, and what the code may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Bundle {
    entry: String,
    files: BTreeMap<String, Vec<u8>>,
    bindings: BTreeMap<String, Binding>,
}

/// A resource the code of a bundle sees under a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// D1, R2, KV or queue.
    pub kind: ResourceKind,
    /// The resource.
    pub name: ResourceName,
}

impl Bundle {
    /// A bundle of `files` by their relative path, starting at the file `entry`.
    ///
    /// # Errors
    ///
    /// Permanent, if a path could lead outside of the bundle or cannot be a file beside the others, `entry` is not
    /// among the files, or they are more than [`MAX_BUNDLE_BYTES`] together.
    pub fn new(entry: impl Into<String>, files: BTreeMap<String, Vec<u8>>) -> Result<Self, ProviderError> {
        let bundle = Self { entry: entry.into(), files, bindings: BTreeMap::new() };
        bundle.check()?;
        Ok(bundle)
    }

    /// Lets the code reach `name` as `variable`.
    #[must_use]
    pub fn bind(mut self, variable: impl Into<String>, kind: ResourceKind, name: ResourceName) -> Self {
        self.bindings.insert(variable.into(), Binding { kind, name });
        self
    }

    /// The path of the file that is served or run first.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The files by path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// What the code may reach, by the name it has in the code.
    pub fn bindings(&self) -> &BTreeMap<String, Binding> {
        &self.bindings
    }

    /// Names this content: 64 hexadecimal digits, the same for the same bundle on every machine.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        // The number of files, and the length before each part, keep two bundles from running together into the same bytes.
        digest.update((self.files.len() as u64).to_be_bytes());
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        part(self.entry.as_bytes());
        for (path, content) in &self.files {
            part(path.as_bytes());
            part(content);
        }
        for (variable, binding) in &self.bindings {
            part(variable.as_bytes());
            part(binding.kind.as_str().as_bytes());
            part(binding.name.as_str().as_bytes());
        }
        hex(&digest.finalize())
    }

    fn check(&self) -> Result<(), ProviderError> {
        let mut bytes = 0_usize;
        for (path, content) in &self.files {
            check_path(path)?;
            bytes = bytes.saturating_add(content.len());
            let parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            if let Some(parent) = parents.into_iter().find(|parent| self.files.contains_key(*parent)) {
                return Err(ProviderError::permanent(format!(
                    "{parent:?} is both a file and the folder of {path:?}"
                )));
            }
        }
        if bytes > MAX_BUNDLE_BYTES {
            return Err(ProviderError::permanent(format!(
                "a bundle of {bytes} bytes is over {MAX_BUNDLE_BYTES}"
            )));
        }
        if !self.files.contains_key(&self.entry) {
            return Err(ProviderError::permanent(format!(
                "the entry {:?} is not among the files",
                self.entry
            )));
        }
        Ok(())
    }
}

/// Refuses what is not plainly the path of a file below some folder.
fn check_path(path: &str) -> Result<(), ProviderError> {
    let component = |part: &str| {
        (1..=255).contains(&part.len())
            && part != "."
            && part != ".."
            && !part.contains(|c: char| c == '\\' || c.is_control())
    };
    if path.len() <= 1024 && path.split('/').all(component) {
        Ok(())
    } else {
        Err(ProviderError::permanent(format!("{path:?} is not a relative path of at most 1024 bytes")))
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A bundle as it is written down: contents as base64, for JSON has no bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    entry: String,
    files: BTreeMap<String, String>,
    #[serde(default)]
    bindings: BTreeMap<String, Binding>,
}

impl TryFrom<Unchecked> for Bundle {
    type Error = ProviderError;

    fn try_from(raw: Unchecked) -> Result<Self, ProviderError> {
        let mut files = BTreeMap::new();
        for (path, text) in raw.files {
            let content = STANDARD.decode(text).map_err(|e| {
                ProviderError::permanent(format!("the content of {path:?} is not base64: {e}"))
            })?;
            files.insert(path, content);
        }
        let bundle = Self { entry: raw.entry, files, bindings: raw.bindings };
        bundle.check()?;
        Ok(bundle)
    }
}

impl From<Bundle> for Unchecked {
    fn from(bundle: Bundle) -> Self {
        let files =
            bundle.files.into_iter().map(|(path, content)| (path, STANDARD.encode(content))).collect();
        Self { entry: bundle.entry, files, bindings: bundle.bindings }
    }
}
