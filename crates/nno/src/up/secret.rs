//! Secrets that are made once and kept in files that only we can read.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use secrecy::SecretString;
use tempfile::NamedTempFile;

const BYTES: usize = 32;

/// A secret from its file.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) value: SecretString,
    /// Whether it was made just now.
    pub(crate) new: bool,
}

/// The secret in the file `path`, made of 32 random bytes (in hex) if there is no such file.
///
/// # Errors
/// When the file cannot be read or written, or is empty.
pub(crate) fn ensure(path: &Path) -> Result<Kept> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let value = text.trim();
            ensure!(!value.is_empty(), "{} is empty: restore the secret, or remove the file", path.display());
            Ok(Kept { value: value.into(), new: false })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let value = make();
            write(path, &value).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Kept { value: value.into(), new: true })
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn make() -> String {
    rand::random::<[u8; BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole or not at all, and for good before anything is locked with it.
fn write(path: &Path, value: &str) -> Result<()> {
    let folder = path.parent().context("it has no folder")?;
    // Its mode is 0600.
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
    fn a_secret_is_made_once_and_for_us_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let (made, kept) = (ensure(&path).unwrap(), ensure(&path).unwrap());
        assert!(made.new && !kept.new);
        assert_eq!(made.value.expose_secret(), kept.value.expose_secret());
        assert_eq!(made.value.expose_secret().len(), 2 * BYTES);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = ensure(&dir.path().join("other")).unwrap();
        assert_ne!(made.value.expose_secret(), other.value.expose_secret());
        assert_eq!(dir.path().read_dir().unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn an_empty_file_is_not_taken_for_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "\n").unwrap();
        assert!(ensure(&path).unwrap_err().to_string().contains("is empty"));
    }
}
