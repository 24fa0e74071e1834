//! Secrets that are generated once and stored in files that only their owner can read.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use secrecy::SecretString;
use tempfile::NamedTempFile;

const BYTES: usize = 32;

/// A secret read from its file.
#[derive(Debug)]
pub(crate) struct StoredSecret {
    pub(crate) value: SecretString,
    /// True if this call generated the secret.
    pub(crate) created: bool,
}

/// Returns the secret in the file `path`. Generates one of 32 random bytes (in hex) if the file does not exist.
///
/// # Errors
/// When the file cannot be read or written, or is empty.
pub(crate) fn ensure(path: &Path) -> Result<StoredSecret> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let value = text.trim();
            ensure!(!value.is_empty(), "{} is empty: restore the secret, or remove the file", path.display());
            Ok(StoredSecret { value: value.into(), created: false })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let value = generate();
            write(path, &value).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(StoredSecret { value: value.into(), created: true })
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn generate() -> String {
    rand::random::<[u8; BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the file atomically and syncs it, because a secret that is in use must survive a crash.
fn write(path: &Path, value: &str) -> Result<()> {
    let folder = path.parent().context("the path has no parent folder")?;
    // Created with mode 0600.
    let mut file = NamedTempFile::new_in(folder)?;
    writeln!(file, "{value}")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn secret_is_generated_once_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let (first, second) = (ensure(&path).unwrap(), ensure(&path).unwrap());
        assert!(first.created && !second.created);
        assert_eq!(first.value.expose_secret(), second.value.expose_secret());
        assert_eq!(first.value.expose_secret().len(), 2 * BYTES);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = ensure(&dir.path().join("other")).unwrap();
        assert_ne!(first.value.expose_secret(), other.value.expose_secret());
        assert_eq!(dir.path().read_dir().unwrap().count(), 2, "no temporary file is left");
    }

    #[test]
    fn empty_file_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "\n").unwrap();
        assert!(ensure(&path).unwrap_err().to_string().contains("is empty"));
    }
}
