//! Bundles: the files that are deployed to a worker or a pages site.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{ProviderError, ResourceKind, ResourceName};

/// Maximum total size of the files of a bundle, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// Files to deploy, with the entry file and the bindings of the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Bundle {
    entry: String,
    files: BTreeMap<String, Vec<u8>>,
    bindings: BTreeMap<String, Binding>,
}

/// Resource that the code of a bundle can access under a variable name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// D1, R2, KV or queue.
    pub kind: ResourceKind,
    /// Name of the resource.
    pub name: ResourceName,
}

impl Bundle {
    /// Creates a bundle of `files`, by relative path, whose entry file is `entry`.
    ///
    /// # Errors
    ///
    /// Permanent, if a path points outside of the bundle or conflicts with another one, if `entry` is not among the
    /// files, or if they exceed [`MAX_BUNDLE_BYTES`].
    pub fn new(entry: impl Into<String>, files: BTreeMap<String, Vec<u8>>) -> Result<Self, ProviderError> {
        let bundle = Self { entry: entry.into(), files, bindings: BTreeMap::new() };
        bundle.check()?;
        Ok(bundle)
    }

    /// Gives the code access to the resource `name` as `variable`.
    #[must_use]
    pub fn bind(mut self, variable: impl Into<String>, kind: ResourceKind, name: ResourceName) -> Self {
        self.bindings.insert(variable.into(), Binding { kind, name });
        self
    }

    /// Returns the path of the file that is served or run first.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// Returns the files by path.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Returns the bindings by variable name.
    pub fn bindings(&self) -> &BTreeMap<String, Binding> {
        &self.bindings
    }

    /// Returns the hash of the content: 64 hexadecimal digits, identical for the same bundle on every machine.
    pub fn hash(&self) -> String {
        let mut digest = Sha256::new();
        // The number of files and the length prefixes make the encoding unambiguous.
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
                "the bundle has {bytes} bytes; the limit is {MAX_BUNDLE_BYTES}"
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

/// Rejects paths that could point outside of the folder of the bundle.
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

/// Returns `bytes` as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Serialised form of a bundle. Contents are base64 because JSON has no byte strings.
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
