//! The Ed25519 keys with which processes sign tokens.

use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding,
    },
};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Location of the process's own key and of the public keys that it trusts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentitySettings {
    /// Folder with this process's `private/<name>.pem` and every process's `public/<name>.pem`; `nno process-keys`
    /// creates it.
    #[schema(value_type = String)]
    pub keys_dir: PathBuf,
}

/// A process's own key pair.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair")
    }
}

impl KeyPair {
    /// Generates a random key pair.
    pub fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// Writes `private/<name>.pem` (mode 0600) and `public/<name>.pem` under `dir`, unless they exist.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn ensure(dir: &Path, name: &str) -> Result<()> {
        let (private, public) = (private_path(dir, name), public_path(dir, name));
        fs::create_dir_all(dir.join("public"))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join("private"))?;
        // The private key comes first, because the public key can be derived from it again.
        let pair = if private.exists() {
            Self::read(dir, name)?
        } else {
            let pair = Self::generate();
            let pem = pair.0.to_pkcs8_pem(LineEnding::LF).context("cannot write a private key")?;
            write_atomically(&private, pem.as_bytes(), 0o600)?;
            pair
        };
        if !public.exists() {
            let pem = pair
                .0
                .verifying_key()
                .to_public_key_pem(LineEnding::LF)
                .context("cannot write a public key")?;
            write_atomically(&public, pem.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// Reads `private/<name>.pem` under `dir`.
    ///
    /// # Errors
    /// When the file does not exist or is not an Ed25519 key.
    pub fn read(dir: &Path, name: &str) -> Result<Self> {
        let path = private_path(dir, name);
        let key = SigningKey::from_pkcs8_pem(&read(&path)?)
            .with_context(|| format!("{} is not an Ed25519 private key in PKCS#8", path.display()))?;
        Ok(Self(key))
    }

    /// The key for signing.
    pub(super) fn encoding(&self) -> Result<EncodingKey> {
        Ok(EncodingKey::from_ed_der(self.0.to_pkcs8_der().context("cannot encode a private key")?.as_bytes()))
    }

    /// The key for verifying this process's signatures.
    pub(super) fn decoding(&self) -> DecodingKey {
        DecodingKey::from_ed_der(self.0.verifying_key().as_bytes())
    }
}

/// Every `public/<name>.pem` under `dir`, by name.
pub(super) fn public_keys(dir: &Path) -> Result<Vec<(String, DecodingKey)>> {
    let folder = dir.join("public");
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {} (create keys with `nno process-keys`)", folder.display()))?;
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) =
            path.to_str().and_then(|path| path.strip_suffix(".pem")).and_then(|path| path.rsplit('/').next())
        else {
            continue;
        };
        let key = VerifyingKey::from_public_key_pem(&read(&path)?)
            .with_context(|| format!("{} is not an Ed25519 public key", path.display()))?;
        keys.push((name.to_owned(), DecodingKey::from_ed_der(key.as_bytes())));
    }
    Ok(keys)
}

/// Writes a file atomically: if the process dies, the file is complete or absent.
fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let unfinished = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    Ok(())
}

fn private_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("private").join(format!("{name}.pem"))
}

fn public_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("public").join(format!("{name}.pem"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| {
        format!("cannot read the key {} (create keys with `nno process-keys`)", path.display())
    })
}
